package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// turnstile is a classifier that notes how many ask at once.
type turnstile struct {
	sdk.Forwarder
	calls, inside, most atomic.Int64
	onCall              func(n int64) error
}

func (c *turnstile) enter() error {
	if n := c.inside.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	if n := c.calls.Add(1); c.onCall != nil {
		return c.onCall(n)
	}
	return nil
}

func (c *turnstile) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	defer c.inside.Add(-1)
	if err := c.enter(); err != nil {
		return nil, err
	}
	return c.Forwarder.Predict(ctx, x)
}

func (c *turnstile) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	defer c.inside.Add(-1)
	if err := c.enter(); err != nil {
		return nil, nil, err
	}
	outs, pull, err := c.Forwarder.Forward(ctx, x, outputs...)
	return outs, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		defer c.inside.Add(-1)
		if err := c.enter(); err != nil {
			return nil, err
		}
		return pull(ctx, cots)
	}, err
}

// hardened is a guard whose inner attack works in halves, or not.
func hardened(t *testing.T, steps int, halves bool) (*guard, *turnstile) {
	t.Helper()
	c := &turnstile{}
	g := testGuard(t, func(o *Options) {
		c.Forwarder = o.Classifier.(sdk.Forwarder)
		o.Classifier = c
		o.Harden = &Harden{Norm: "linf", Eps: .3, Steps: steps, Through: "guard", Weight: .5, Also: []Ball{{Norm: "l2", Eps: .4}}}
	})
	if g.attack.halves = nil; halves {
		g.attack.halves = []*half{newHalf(g.attack, g.pass, 4), newHalf(g.attack, nil, 4)}
	}
	c.calls.Store(0)
	return g, c
}

// Rows that are attacked in halves have the bits of rows attacked together, for
// any number of steps and rows, and the classifier has one call at a time.
func TestHalvesHaveTheBitsOfTheWhole(t *testing.T) {
	for _, rows := range [][]int{{7, 2, 9, 4}, {3, 1, 8}, {5, 6}, {11}} {
		for _, steps := range []int{1, 2, 5} {
			var attacked [2]*tensor.Tensor
			for i, halves := range []bool{false, true} {
				g, c := hardened(t, steps, halves)
				b := &batch{buf: newView(4, g.m.Input), epoch: 1, step: 3, total: 6}
				for range 2 { // the second finds used memory
					b.gather(g.o.Train, rows)
					both, _, err := g.attack.extend(t.Context(), b, nil)
					if err != nil {
						t.Fatal(err)
					}
					attacked[i] = both.Clone()
				}
				parts := 1
				if halves && len(rows) > 1 {
					parts = 2
				}
				if want := int64(2 * 2 * parts * steps); c.calls.Load() != want || c.most.Load() != 1 {
					t.Errorf("%d rows, %d steps: %d calls, %d at once, want %d and 1", len(rows), steps, c.calls.Load(), c.most.Load(), want)
				}
			}
			if !slices.Equal(attacked[0].Data, attacked[1].Data) {
				t.Errorf("%d rows, %d steps: halves have other bits", len(rows), steps)
			}
		}
	}
}

// What the classifier says of one half ends the step, whichever call it was, and
// nothing is left running.
func TestHalvesFail(t *testing.T) {
	for call := range int64(8) {
		g, c := hardened(t, 2, true)
		c.onCall = func(n int64) error {
			if n == call+1 {
				return errors.New("gone")
			}
			return nil
		}
		_, _, err := g.attack.extend(t.Context(), testBatch(g), nil)
		if err == nil || !strings.Contains(err.Error(), "gone") {
			t.Errorf("call %d fails: %v", call, err)
		}
		if n := c.inside.Load(); n != 0 {
			t.Errorf("call %d fails: %d are still under way", call, n)
		}
	}
	g, c := hardened(t, 2, true)
	c.onCall = func(int64) error { panic("broken") }
	defer func() {
		if r := recover(); fmt.Sprint(r) != "broken" {
			t.Errorf("recovered %v", r)
		}
	}()
	_, _, err := g.attack.extend(t.Context(), testBatch(g), nil)
	t.Errorf("no panic: %v", err)
}

// Small networks, layers that look at the whole batch and attacks on the classifier
// alone stay whole. Whether the host waits is no matter: bits do not go by it.
func TestWhatOverlaps(t *testing.T) {
	g, _ := hardened(t, 2, false)
	if g.attack.overlaps() {
		t.Error("a network of a few numbers overlaps")
	}
	m, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 3, Encoder: []nn.Maker{tanh(6)}, Decoder: []nn.Maker{tanh(3000), tanh(3000), tanh(5)}}, Input: g.m.Input}, 2)
	if err != nil {
		t.Fatal(err)
	}
	role := &m.Decoder.Params()[0].Role
	for name, c := range map[string]struct {
		change func(*Options)
		want   bool
	}{
		"large":       {func(*Options) {}, true},
		"in turns":    {func(o *Options) { o.InTurns = true }, true},
		"classifier":  {func(o *Options) { o.Harden.Through = "classifier" }, false},
		"batch norms": {func(*Options) { *role = nn.Statistic }, false},
	} {
		g, _ := hardened(t, 2, false)
		g.m, g.o.BatchSize, *role = m, 12, nn.Weight
		c.change(g.o)
		if got := g.attack.overlaps(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
