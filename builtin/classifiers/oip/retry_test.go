package oip

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/vaeguard/vaeguard/sdk"
)

// pauses is what a caller with a seed sleeps when the server always says f.
func pauses(t *testing.T, seed uint64, f fault, deadline float64) ([]time.Duration, error) {
	t.Helper()
	s, err := readSettings(sdk.Config{JSON: []byte(`{"url": "http://x", "model": "m"}`)})
	if err != nil {
		t.Fatal(err)
	}
	s.Retries, s.Backoff, s.Deadline = 8, 0.5, deadline
	c := newCaller(s, seed)
	var got []time.Duration
	c.sleep = func(_ context.Context, d time.Duration) error {
		got = append(got, d)
		return nil
	}
	return got, c.do(t.Context(), "infer", func(context.Context) *fault { g := f; return &g })
}

// TestPauses holds the pauses to 0.5·2ᵏ seconds, at most 10, of which the upper
// half is drawn: the same for the same seed.
func TestPauses(t *testing.T) {
	busy := fault{kind: sdk.FailedPrecondition, retry: true}
	got, err := pauses(t, 1, busy, 60)
	if err == nil || len(got) != 8 {
		t.Fatalf("%d pauses, want 8; error %v", len(got), err)
	}
	for k, d := range got {
		full := min(500*time.Millisecond<<k, 10*time.Second)
		if d < full/2 || d > full {
			t.Errorf("pause %d is %v, want %v to %v", k, d, full/2, full)
		}
	}
	again, _ := pauses(t, 1, busy, 60)
	other, _ := pauses(t, 2, busy, 60)
	if !slices.Equal(got, again) || slices.Equal(got, other) {
		t.Errorf("seed 1 gave %v and %v, seed 2 %v", got, again, other)
	}
}

// TestRetryAfter holds that the server's wish is kept, and that nobody waits
// for what would be too late.
func TestRetryAfter(t *testing.T) {
	asked := fault{kind: sdk.FailedPrecondition, retry: true, after: 20 * time.Second}
	got, _ := pauses(t, 1, asked, 3600)
	if len(got) != 8 || slices.Min(got) != 20*time.Second {
		t.Errorf("pauses %v, want 20 s each", got)
	}
	if got, err := pauses(t, 1, asked, 10); len(got) != 0 || err == nil {
		t.Errorf("pauses %v, error %v; want none within 10 s", got, err)
	}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "soon": 0, "99999999999999": 0,
		"Wed, 02 Jan 2030 03:04:35 GMT": 30 * time.Second, "Wed, 02 Jan 2030 03:04:00 GMT": 0} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("Retry-After %q is %v, want %v", text, got, want)
		}
	}
	s, err := status.New(codes.Unavailable, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if f := said(s.Err()); f.after != 3*time.Second || !f.retry {
		t.Errorf("RetryInfo of 3 s gave %+v", f)
	}
}

// FuzzResponse feeds the readers of answers with anything.
func FuzzResponse(f *testing.F) {
	f.Add("", []byte(`{"outputs":[{"name":"y","datatype":"FP32","shape":[2,3],"data":[[1,2,3],[4,5,6]]}]}`))
	f.Add("90", []byte(`{"outputs":[{"name":"y","datatype":"FP64","shape":[2,1],"parameters":{"binary_data_size":16}}]}0123456789abcdef`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		q := &query{shape: []int{2, 4}, output: "y"}
		a, bad := q.response(header, body)
		if bad == nil && (len(a.values) != 2*a.columns || a.finite() != nil) {
			t.Errorf("%d numbers for %d columns", len(a.values), a.columns)
		}
	})
}
