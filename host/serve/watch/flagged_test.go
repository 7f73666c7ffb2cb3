package watch

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestNobodyWaitsForAReconstruction: a flagged row is reconstructed for the page beside the answers, which do not wait for
// it, and neither do the page and the metrics.
func TestNobodyWaitsForAReconstruction(t *testing.T) {
	d := servetest.Train(t, components(), filepath.Join(t.TempDir(), "d"), 0).Open(t)
	b := NewBoard(Options{})
	asked, answer := make(chan *tensor.Tensor, 10), make(chan struct{})
	b.rebuild = func(ctx context.Context, d *host.Detector, x *tensor.Tensor) (*tensor.Tensor, error) {
		select {
		case asked <- x:
		default: // nobody looks any more
		}
		<-answer
		return d.Reconstruct(context.WithoutCancel(ctx), x)
	}
	m := &version{"m", "1", d}
	b.Opened(m)
	x := tensor.New(1, 64)
	x.Data[3] = 0.5
	e := m.event()
	e.Request.Rows = &dataset.Data{X: x}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Judged(e)
		x.Data[3] = 7 // the row is its caller's again
		for range 20 {
			b.Judged(m.event())
		}
		b.Views()
		b.Metrics().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("an answer waits for a reconstruction that is shown on the page")
	}
	if row := <-asked; row.Data[3] != 0.5 {
		t.Errorf("what is reconstructed is %v, not the row", row.Data[3])
	}
	if len(asked) > 0 {
		t.Error("more than one row is reconstructed at once")
	}
	close(answer)
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		b.Judged(m.event()) // the row falls out of the last ones in time
		for _, f := range b.Views()[0].Last {
			if len(f.Rebuilt) == 64 {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("no row has its reconstruction")
		}
	}
}

// TestFarOutRowsAreShown: a reconstruction that is not finite, as of a row that is far out, is not shown, and the page goes on.
func TestFarOutRowsAreShown(t *testing.T) {
	d := servetest.Train(t, components(), filepath.Join(t.TempDir(), "d"), 0).Open(t)
	b := NewBoard(Options{})
	b.rebuild = func(_ context.Context, _ *host.Detector, x *tensor.Tensor) (*tensor.Tensor, error) {
		out := x.Clone()
		out.Data[3] = float32(math.Inf(1))
		return out, nil
	}
	m := &version{"m", "1", d}
	b.Opened(m)
	e := m.event()
	e.Result.Reconstruction = tensor.New(1, 64)
	e.Result.Reconstruction.Data[5] = float32(math.NaN())
	b.Judged(e)
	b.Judged(m.event())
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		s := b.shown("m")
		s.mu.Lock()
		done := !s.rebuilt.IsZero()
		s.mu.Unlock()
		if done {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no row is reconstructed")
		}
	}
	views := b.Views()
	if _, err := json.Marshal(views); err != nil {
		t.Fatal(err)
	}
	if len(views[0].Last) != 2 || len(views[0].Last[0].Row) != 64 || views[0].Last[0].Rebuilt != nil {
		t.Errorf("%+v", views[0].Last)
	}
}
