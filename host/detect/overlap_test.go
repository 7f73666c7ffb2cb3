package detect

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// watched is an opinion and a classifier that know of each other's work.
type watched struct {
	Opinion
	sdk.Forwarder
	seconds  atomic.Int64 // second opinions taken
	calls    atomic.Int64 // of the classifier
	inFlight atomic.Int64
	most     atomic.Int64
	onCall   func(call int64) error // nil: none
}

func (w *watched) DrawNoise(seed uint64) *tensor.Tensor { return w.Opinion.(Noisy).DrawNoise(seed) }

func (w *watched) NewPass(e *kernel.Engine) Pass { return watchedPass{w.Opinion.NewPass(e), w} }

type watchedPass struct {
	Pass
	w *watched
}

func (p watchedPass) Forward(s *Second, x, noise *tensor.Tensor) {
	p.Pass.Forward(s, x, noise)
	p.w.seconds.Add(1)
}

func (w *watched) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if n := w.inFlight.Add(1); n > w.most.Load() {
		w.most.Store(n)
	}
	defer w.inFlight.Add(-1)
	if n := w.calls.Add(1); w.onCall != nil {
		if err := w.onCall(n); err != nil {
			return nil, err
		}
	}
	return w.Forwarder.Predict(ctx, x)
}

func watch(o *Options) *watched {
	w := &watched{Opinion: o.Opinion, Forwarder: &sdktest.Fake{Shape: testShape, Classes: testClasses, Seed: 1}}
	o.Opinion, o.Classifier = w, w
	return w
}

// The second opinion on a chunk is taken while the classifier answers the one
// before, and never are two calls under way; in turns it is not.
func TestHostWorksWhileTheClassifierAnswers(t *testing.T) {
	const chunks = 5
	x := inputs(3, chunks*mostChunk-7)
	var scores [2][]float64
	for i, turns := range []bool{false, true} {
		o := options()
		o.InTurns = turns
		w := watch(&o)
		w.onCall = func(call int64) error {
			want := min(call+1, chunks)
			if turns {
				if n := w.seconds.Load(); n != call {
					return fmt.Errorf("call %d comes after %d second opinions", call, n)
				}
				return nil
			}
			for start := time.Now(); w.seconds.Load() < want; time.Sleep(time.Millisecond) {
				if time.Since(start) > time.Minute {
					return fmt.Errorf("call %d waits in vain for second opinion %d", call, want)
				}
			}
			return nil
		}
		var err error
		if scores[i], err = build(t, o).Scores(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		if w.most.Load() != 1 || w.calls.Load() != chunks {
			t.Errorf("%d calls, %d at once, want %d and 1", w.calls.Load(), w.most.Load(), chunks)
		}
	}
	for i, s := range scores[0] {
		if s != scores[1][i] {
			t.Fatalf("score %d is %v, in turns %v", i, s, scores[1][i])
		}
	}
}

// Of several faults that of the first rows is told, whichever side found it,
// and nothing is left running.
func TestFaultsWhileBothWork(t *testing.T) {
	x := inputs(3, 3*mostChunk)
	broken := errors.New("gone")
	for name, c := range map[string]struct {
		failing int64
		cancel  bool
		want    string
	}{
		"first call":      {failing: 1, want: "rows 0 to 63: classifier: gone"},
		"second call":     {failing: 2, want: "rows 64 to 127: classifier: gone"},
		"ended by caller": {cancel: true, want: "rows 0 to 63: classifier: context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			w := watch(&o)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w.onCall = func(n int64) error {
				if n == 1 && c.cancel {
					cancel()
				}
				if n == c.failing {
					return broken
				}
				return nil
			}
			_, err := build(t, o).Scores(ctx, x)
			if err == nil || err.Error() != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
			if n := w.inFlight.Load(); n != 0 {
				t.Errorf("%d calls are still under way", n)
			}
		})
	}
}

// A panic of the classifier is one of the caller's goroutine, who may recover.
func TestPanicWhileBothWork(t *testing.T) {
	o := options()
	w := watch(&o)
	w.onCall = func(int64) error { panic("broken") }
	defer func() {
		if r := recover(); r != "broken" {
			t.Errorf("recovered %v", r)
		}
	}()
	_, err := build(t, o).Scores(t.Context(), inputs(3, 2*mostChunk))
	t.Errorf("no panic: %v", err)
}
