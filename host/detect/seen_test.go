package detect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// everyOutput is what a guard says of x, and the gradient of all of it at x.
func everyOutput(t *testing.T, g *Guarded, x *tensor.Tensor) (bits []float32) {
	t.Helper()
	outs, pull, err := g.Forward(t.Context(), x, g.OutputNames()...)
	if err != nil {
		t.Fatal(err)
	}
	cots := map[string]*tensor.Tensor{}
	for _, name := range g.OutputNames() {
		bits = append(bits, outs[name].Data...)
		for _, n := range outs[name].Shape {
			bits = append(bits, float32(n))
		}
		cots[name] = tensor.New(outs[name].Shape...)
		for i := range cots[name].Data {
			cots[name].Data[i] = float32(math.Cos(float64(3 * i)))
		}
	}
	for range 2 { // a pullback may be repeated
		dx, err := pull(t.Context(), cots)
		if err != nil {
			t.Fatal(err)
		}
		bits = append(bits, dx.Data...)
	}
	return bits
}

// What a guard says of rows in two calls has the bits of one call, for every method,
// any number of rows and threads, in turns or not; and fresh noise is drawn once.
func TestGuardApart(t *testing.T) {
	for name, o := range variants() {
		for _, fresh := range []bool{false, true} {
			for _, n := range []int{1, 2, 5, 9} {
				x := inputs(33, n)
				o.Threads, o.InTurns = 1, true
				whole := calibrated(t, o).Guard(GuardOptions{Fresh: fresh, Seed: 2})
				whole.apartFrom = math.MaxInt
				want := everyOutput(t, whole, x)
				for _, threads := range []int{1, 2} {
					for _, turns := range []bool{false, true} {
						o.Threads, o.InTurns = threads, turns
						g := calibrated(t, o).Guard(GuardOptions{Fresh: fresh, Seed: 2})
						g.apartFrom = 0
						if got := everyOutput(t, g, x); !slices.Equal(got, want) {
							t.Errorf("%s, fresh %v, %d rows, %d threads, in turns %v: other bits", name, fresh, n, threads, turns)
						}
					}
				}
			}
		}
	}
}

// Small rows go in one call, large ones in two.
func TestWhatGoesApart(t *testing.T) {
	d := build(t, options())
	each := (1 + d.samples) * d.input.Size()
	g := d.Guard(GuardOptions{})
	for n, want := range map[int]int{1: 2, apartFrom / each: 2, 2 * (apartFrom/each + 1): 3} {
		if got := len(g.bounds(n, d.o.Noise)); got != want {
			t.Errorf("%d rows have %d bounds, want %d", n, got, want)
		}
	}
	o := options()
	o.Opinion, o.Scores = nil, []NamedScore{{"top", testTop{}}}
	if got := build(t, o).Guard(GuardOptions{}).bounds(1<<20, nil); len(got) != 2 {
		t.Errorf("without a second opinion rows have bounds %v", got)
	}
}

// gated is a watched classifier whose ways back can fail, too.
type gated struct {
	*watched
	onPull func(n int64) error
	pulls  int64
}

func (w *gated) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	if n := w.inFlight.Add(1); n > w.most.Load() {
		w.most.Store(n)
	}
	defer w.inFlight.Add(-1)
	if n := w.calls.Add(1); w.onCall != nil {
		if err := w.onCall(n); err != nil {
			return nil, nil, err
		}
	}
	outs, pull, err := w.Forwarder.Forward(ctx, x, outputs...)
	return outs, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		if n := w.inFlight.Add(1); n > w.most.Load() {
			w.most.Store(n)
		}
		defer w.inFlight.Add(-1)
		if w.pulls++; w.onPull != nil {
			if err := w.onPull(w.pulls); err != nil {
				return nil, err
			}
		}
		return pull(ctx, cots)
	}, err
}

func gate(t *testing.T, turns bool) (*Guarded, *gated) {
	o := options()
	w := &gated{watched: watch(&o)}
	o.Classifier, o.InTurns = w, turns
	g := calibrated(t, o).Guard(GuardOptions{})
	g.apartFrom = 0
	w.calls.Store(0)
	w.seconds.Store(0)
	return g, w
}

// The second opinion on one half is taken while the classifier answers the other, one
// call at a time. Whatever fails, the error is that of a guard in turns, and nothing
// is left running. A row that is too far for a reconstruction is no failure.
func TestGuardApartFails(t *testing.T) {
	x := inputs(34, 6)
	try := func(g *Guarded, x *tensor.Tensor) error {
		outs, pull, err := g.Forward(t.Context(), x, OutputScore)
		if err == nil {
			_, err = pull(t.Context(), map[string]*tensor.Tensor{OutputScore: tensor.New(outs[OutputScore].Shape...)})
		}
		return err
	}
	g, w := gate(t, false)
	w.onCall = func(n int64) error {
		for start := time.Now(); w.seconds.Load() < 2; time.Sleep(time.Millisecond) {
			if time.Since(start) > time.Minute {
				return fmt.Errorf("call %d waits in vain for the second opinion on the other half", n)
			}
		}
		return nil
	}
	if err := try(g, x); err != nil || w.most.Load() != 1 || w.calls.Load() != 2 || w.pulls != 2 {
		t.Errorf("%v; %d calls, %d back, %d at once", err, w.calls.Load(), w.pulls, w.most.Load())
	}
	broken := inputs(34, 6)
	for i := range broken.Row(4) {
		broken.Row(4)[i] = float32(3e38 * (1 - 2*float64(i%2)))
	}
	for name, c := range map[string]struct {
		call, pull int64
		x          *tensor.Tensor
		want       string
	}{
		"first call":            {call: 1, x: x, want: "classifier: gone"},
		"second call":           {call: 2, x: x, want: "classifier: gone"},
		"first way back":        {pull: 1, x: x, want: "classifier: gone"},
		"second way back":       {pull: 2, x: x, want: "classifier: gone"},
		"a row":                 {x: broken, want: "<nil>"},
		"a call before a row":   {call: 1, x: broken, want: "classifier: gone"},
		"a call beyond a row's": {call: 2, x: broken, want: "classifier: gone"},
	} {
		for _, turns := range []bool{false, true} {
			g, w := gate(t, turns)
			fail := func(at int64) func(int64) error {
				return func(n int64) error {
					if n == at {
						return errors.New("gone")
					}
					return nil
				}
			}
			w.onCall, w.onPull = fail(c.call), fail(c.pull)
			if err := try(g, c.x); fmt.Sprint(err) != c.want {
				t.Errorf("%s, in turns %v: %v, want %s", name, turns, err, c.want)
			}
			if n := w.inFlight.Load(); n != 0 {
				t.Errorf("%s: %d calls are still under way", name, n)
			}
		}
	}
	g, _ = gate(t, false)
	_, pull, err := g.Forward(t.Context(), x, OutputScore)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pull(t.Context(), map[string]*tensor.Tensor{OutputScore: tensor.New(7, 1)}); err == nil || err.Error() != "guard: cotangent of score has shape 7×1, want 6 numbers" {
		t.Error(err)
	}
	g, w = gate(t, false)
	w.onCall = func(int64) error { panic("broken") }
	defer func() {
		if r := recover(); r != "broken" {
			t.Errorf("recovered %v", r)
		}
	}()
	t.Errorf("no panic: %v", try(g, x))
}
