package oip_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// TestFaults: each way to fail has its status in both protocols, says when to come
// back, and tells a client nothing that is the operator's.
func TestFaults(t *testing.T) {
	secret := errors.New("open /srv/secret: no such file")
	for _, c := range []struct {
		err    error
		status int
		code   codes.Code
		says   string
		retry  string // Retry-After; "": none
	}{
		{&judge.NotFoundError{Name: "m"}, 404, codes.NotFound, `there is no model "m"`, ""},
		{&judge.InputError{Input: "x", Err: errors.New("is odd")}, 400, codes.InvalidArgument, `input "x": is odd`, ""},
		{&judge.UnavailableError{Reason: "the classifier is away", Err: secret, After: 1200 * time.Millisecond}, 503, codes.Unavailable, "the classifier is away", "2"},
		{fmt.Errorf("judge: %w", &judge.OverloadedError{Reason: "the queue is full", After: 20 * time.Millisecond}), 429, codes.ResourceExhausted, "the queue is full", "1"},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), 504, codes.DeadlineExceeded, "no answer within the deadline", ""},
		{secret, 500, codes.Internal, "the guard failed", ""},
	} {
		g := both()
		g.models[1].fail = func(context.Context) error { return c.err }
		r := ask(t, "POST", serveREST(t, g, oip.Options{})+"/v2/models/digits/infer", oneRow)
		r.fails(t, c.status, c.says)
		if got := r.header.Get("Retry-After"); got != c.retry {
			t.Errorf("%v: Retry-After %q, want %q", c.err, got, c.retry)
		}
		err := dial(t, serveGRPC(t, g, oip.Options{})).Invoke(t.Context(), inference.ModelInfer, grpcRow(t).Message(), &inference.ModelInferResponse{})
		s := status.Convert(err)
		if s.Code() != c.code || !strings.Contains(s.Message(), c.says) {
			t.Errorf("%v over gRPC: %v", c.err, err)
		}
		if strings.Contains(r.body+s.Message(), "secret") {
			t.Errorf("a client reads %s and %s", r.body, s.Message())
		}
		var after time.Duration
		for _, d := range s.Details() {
			if info, ok := d.(*errdetails.RetryInfo); ok {
				after = info.RetryDelay.AsDuration()
			}
		}
		if (after > 0) != (c.retry != "") {
			t.Errorf("%v: over gRPC the pause is %v", c.err, after)
		}
	}
}

// TestTimeouts: the caller's parameter, its deadline and the server's limit, whichever
// is first, end a wait that would not end by itself.
func TestTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		o         oip.Options
		parameter string
		least     time.Duration
	}{
		"the server's limit": {o: oip.Options{Deadline: 40 * time.Millisecond}, least: 40 * time.Millisecond},
		"the caller's":       {parameter: `"parameters":{"timeout":30000}`, least: 30 * time.Millisecond},
		"the shorter one":    {o: oip.Options{Deadline: time.Hour}, parameter: `"parameters":{"timeout":30000}`, least: 30 * time.Millisecond},
		"not the longer one": {o: oip.Options{Deadline: 40 * time.Millisecond}, parameter: `"parameters":{"timeout":9000000000000000}`, least: 40 * time.Millisecond},
	} {
		g := both()
		g.models[1].fail = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		body := oneRow
		if c.parameter != "" {
			body = withOne(c.parameter)
		}
		start := time.Now()
		r := ask(t, "POST", serveREST(t, g, c.o)+"/v2/models/digits/infer", body)
		r.fails(t, 504, "no answer within the deadline")
		if took := time.Since(start); took < c.least {
			t.Errorf("%s: after %v", name, took)
		}
	}
}

// TestClientLeaves: a wait ends with the client's connection.
func TestClientLeaves(t *testing.T) {
	g := both()
	left := make(chan error, 1)
	began := make(chan struct{})
	g.models[1].fail = func(ctx context.Context) error {
		close(began)
		<-ctx.Done()
		left <- ctx.Err()
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, serveREST(t, g, oip.Options{})+"/v2/models/digits/infer", strings.NewReader(oneRow))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-began
		cancel()
	}()
	if _, err := http.DefaultClient.Do(r); !errors.Is(err, context.Canceled) { //nolint:bodyclose // there is none
		t.Errorf("error %v", err)
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the model waits until %v", err)
	}
}

// TestLargeBodies: what is declared too large is refused before it is sent, and a body
// that ends early is an error.
func TestLargeBodies(t *testing.T) {
	url := serveREST(t, both(), oip.Options{MaxBody: 1 << 10})
	address := strings.TrimPrefix(url, "http://")
	for request, want := range map[string]string{
		"POST /v2/models/digits/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n":                             "413",
		"POST /v2/models/digits/infer HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 500\r\n\r\n" + oneRow[:50]: "400",
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if want == "400" {
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		b := make([]byte, 12)
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 "+want {
			t.Errorf("%.60q: %q, error %v, want %s", request, b, err, want)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := dial(t, serveGRPC(t, both(), oip.Options{MaxBody: 1 << 10})).Invoke(t.Context(), inference.ModelInfer,
		tensors.Request{Model: strings.Repeat("m", 2000)}.Message(), &inference.ModelInferResponse{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error %v", err)
	}
}

// TestMemory: bodies that are held at once are bounded together, and those that find no
// place are told to come back, which they can as soon as there is one.
func TestMemory(t *testing.T) {
	g := both()
	began, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.models[0].fail = func(context.Context) error {
		once.Do(func() { close(began) })
		<-end
		return nil
	}
	url := serveREST(t, g, oip.Options{MaxBody: 1 << 20, Memory: 1 << 20})
	padded := strings.Repeat(" ", 900<<10) + oneRow
	first := make(chan int, 1)
	go func() {
		resp, err := http.Post(url+"/v2/models/digits/versions/1/infer", "application/json", strings.NewReader(padded))
		if err != nil {
			first <- 0
			return
		}
		resp.Body.Close()
		first <- resp.StatusCode
	}()
	<-began
	for range 3 { // what is refused leaves nothing behind
		r := ask(t, "POST", url+"/v2/models/digits/infer", padded)
		if r.fails(t, 429, "as many requests as it has memory for"); r.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
		}
	}
	ask(t, "POST", url+"/v2/models/digits/infer", oneRow).answers(t)
	close(end)
	if status := <-first; status != 200 {
		t.Errorf("the first is answered with %d", status)
	}
	ask(t, "POST", url+"/v2/models/digits/infer", padded).answers(t)
}
