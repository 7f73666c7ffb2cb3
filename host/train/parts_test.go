package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// apart is plain, row by row.
type apart struct{ plain }

func (apart) Make(s Setup) (Objective, error) {
	o, err := plain{}.Make(s)
	return apart{o.(plain)}, err
}

func (p apart) OutputGradient(s *Step) {
	for i := range s.N() {
		p.kl.Row(s.P.Row(i), s.Q.Row(i), s.DQ.Row(i), s.Weight(i))
	}
}

// counter is a layer that counts its passes forward.
type counter struct {
	shape  tensor.Shape
	passes *atomic.Int64
}

func (c counter) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	return &counter{in, c.passes}, nil
}
func (c *counter) Out() tensor.Shape   { return c.shape }
func (c *counter) Params() []*nn.Param { return nil }
func (c *counter) Plan(*nn.Plan)       {}
func (c *counter) Forward(_ *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	c.passes.Add(1)
	return x
}
func (c *counter) Backward(_ *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	return dy
}

// divided is a guard whose steps go to the classifier in parts, or not.
func divided(t *testing.T, inParts bool, change func(*Options)) (*guard, *turnstile, *atomic.Int64) {
	t.Helper()
	c, passes := &turnstile{}, &atomic.Int64{}
	g := testGuard(t, func(o *Options) {
		o.Loss, o.Hidden = apart{}, nil
		m, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 3, Encoder: []nn.Maker{tanh(6), layers.Dropout{Rate: .2}}, Decoder: []nn.Maker{tanh(7), tanh(5), counter{passes: passes}}}, Input: o.Model.Input, Normalizer: o.Model.Normalize}, 2)
		if err != nil {
			t.Fatal(err)
		}
		o.Model = m
		if change != nil {
			change(o)
		}
		c.Forwarder = o.Classifier.(sdk.Forwarder)
		o.Classifier = c
	})
	rows := 4
	if g.attack != nil {
		rows = 8
		if g.attack.halves = nil; inParts && g.o.Harden.Through == "guard" && !g.attack.smooth() {
			g.attack.halves = []*half{newHalf(g.attack, g.pass, 4), newHalf(g.attack, nil, 4)}
		}
	}
	if g.parts = nil; inParts {
		g.parts = makeParts(g, g.obj.(Rowwise), rows)
	}
	c.calls.Store(0)
	passes.Store(0)
	return g, c, passes
}

func harden(through string) *Harden {
	return &Harden{Norm: "linf", Eps: .3, Steps: 3, Through: through, Weight: .6, Also: []Ball{{Norm: "l2", Eps: .4}}}
}

// divisions are steps of all kinds.
var divisions = map[string]func(*Options){
	"clean":         nil,
	"noise":         func(o *Options) { o.InputNoise = .1 },
	"probabilities": func(o *Options) { o.Classifier.(*sdktest.Fake).Output = sdk.Probabilities },
	"weights":       func(o *Options) { o.ClassWeight = ClassWeight{Balanced: true} },
	"hardened":      func(o *Options) { o.Harden = harden("guard") },
	"all at once": func(o *Options) {
		o.Harden, o.InputNoise, o.ClassWeight = harden("guard"), .1, ClassWeight{Balanced: true}
	},
	"through the classifier": func(o *Options) { o.Harden = harden("classifier") },
	"through noise":          func(o *Options) { o.Harden, o.InputNoise, o.Smooth = harden("guard"), .1, true },
}

// Steps in parts have the bits of steps whose rows stay together: gradients, loss and
// metrics, for any number of rows and threads, whether the host waits or not. The
// classifier has one call at a time.
func TestPartsHaveTheBitsOfTheWhole(t *testing.T) {
	for name, change := range divisions {
		step := func(rows []int, threads int, inParts, turns bool) (bits []float64, calls int64) {
			g, c, _ := divided(t, inParts, func(o *Options) {
				k, err := kernel.New(kernel.Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(k.Close)
				o.Engine, o.InTurns = k, turns
				if change != nil {
					change(o)
				}
			})
			b := &batch{buf: newView(4, g.m.Input), epoch: 1, step: 3, total: 6}
			grads := nn.NewGrads(g.params())
			for range 2 { // the second finds used memory
				b.gather(g.o.Train, rows)
				values := make([]float64, 1+len(g.reports()))
				grads.Zero()
				if err := g.step(t.Context(), b, grads, values); err != nil {
					t.Fatal(err)
				}
				bits = append(bits, values...)
				for _, p := range g.params() {
					for _, v := range grads.Of(p).Data {
						bits = append(bits, float64(v))
					}
				}
			}
			if c.most.Load() != 1 {
				t.Errorf("%s: %d calls at once", name, c.most.Load())
			}
			return bits, c.calls.Load()
		}
		for _, rows := range [][]int{{7, 2, 9, 4}, {3, 1, 8}, {5, 6}, {11}} {
			want, once := step(rows, 1, false, false)
			for _, threads := range []int{1, 2} {
				for _, turns := range []bool{false, true} {
					got, calls := step(rows, threads, true, turns)
					if !slices.Equal(got, want) {
						t.Errorf("%s, %d rows, %d threads, in turns %v: other bits", name, len(rows), threads, turns)
					}
					if len(rows) > 1 && calls <= once {
						t.Errorf("%s, %d rows: %d calls in parts, %d without", name, len(rows), calls, once)
					}
				}
			}
		}
	}
}

// While the classifier answers for a part the host passes the next one forward; in
// turns it does not.
func TestHostWorksWhileAPartIsAnswered(t *testing.T) {
	for _, turns := range []bool{false, true} {
		for _, hard := range []bool{false, true} {
			g, c, passes := divided(t, true, func(o *Options) {
				if o.InTurns = turns; hard {
					o.Harden = harden("guard")
				}
			})
			questions := int64(2)
			if hard {
				questions = 2*3 + 2
			}
			c.onCall = func(n int64) error {
				if n%2 == 0 { // the way back
					return nil
				}
				q := (n + 1) / 2
				if turns {
					if p := passes.Load(); p > q {
						return fmt.Errorf("question %d comes after %d passes", q, p)
					}
					return nil
				}
				for start := time.Now(); passes.Load() < min(q+1, questions); time.Sleep(time.Millisecond) {
					if time.Since(start) > time.Minute {
						return fmt.Errorf("question %d waits in vain for the next pass", q)
					}
				}
				return nil
			}
			grads, values := nn.NewGrads(g.params()), make([]float64, 1+len(g.reports()))
			if err := g.step(t.Context(), testBatch(g), grads, values); err != nil {
				t.Errorf("in turns %v, hardened %v: %v", turns, hard, err)
			}
			if n := c.calls.Load(); n != 2*questions {
				t.Errorf("in turns %v, hardened %v: %d calls, want %d", turns, hard, n, 2*questions)
			}
		}
	}
}

// Whatever fails, and whichever side does, the error is that of a step in turns, and
// nothing is left running.
func TestPartsFail(t *testing.T) {
	step := func(g *guard) error {
		return g.step(t.Context(), testBatch(g), nn.NewGrads(g.params()), make([]float64, 1+len(g.reports())))
	}
	for _, hard := range []bool{false, true} {
		for call := range int64(2 * (2*3 + 2)) {
			var said [2]string
			for i, turns := range []bool{false, true} {
				g, c, _ := divided(t, true, func(o *Options) {
					if o.InTurns = turns; hard {
						o.Harden = harden("guard")
					}
				})
				c.onCall = func(n int64) error {
					if n == call+1 {
						return fmt.Errorf("call %d is gone", n)
					}
					return nil
				}
				said[i] = fmt.Sprint(step(g))
				if n := c.inside.Load(); n != 0 {
					t.Errorf("call %d fails: %d are still under way", call+1, n)
				}
			}
			if calls := int64(4); !hard && call >= calls {
				continue
			}
			if said[0] != said[1] || !strings.Contains(said[0], fmt.Sprintf("call %d is gone", call+1)) {
				t.Errorf("call %d fails: %s; in turns: %s", call+1, said[0], said[1])
			}
		}
	}
	for _, turns := range []bool{false, true} { // the last part goes forward first, the first one is not finite
		g, c, _ := divided(t, true, func(o *Options) { o.InTurns = turns })
		b := testBatch(g)
		b.x.Row(0)[1] = float32(math.NaN())
		err := g.step(t.Context(), b, nn.NewGrads(g.params()), make([]float64, 1+len(g.reports())))
		if !errors.Is(err, errRebuilt) || c.calls.Load() != 2 || c.inside.Load() != 0 {
			t.Errorf("in turns %v: a row that is not finite: %v after %d calls", turns, err, c.calls.Load())
		}
		g, c, _ = divided(t, true, func(o *Options) { o.InTurns = turns })
		c.onCall = func(n int64) error {
			if n == 3 {
				panic("broken")
			}
			return nil
		}
		func() {
			defer func() {
				if r := recover(); fmt.Sprint(r) != "broken" {
					t.Errorf("recovered %v", r)
				}
			}()
			t.Errorf("no panic: %v", step(g))
		}()
	}
	ctx, cancel := context.WithCancel(t.Context())
	g, c, _ := divided(t, true, nil)
	c.onCall = func(n int64) error {
		if n == 2 {
			cancel()
		}
		return ctx.Err()
	}
	if err := g.step(ctx, testBatch(g), nn.NewGrads(g.params()), make([]float64, 1+len(g.reports()))); !errors.Is(err, context.Canceled) || c.inside.Load() != 0 {
		t.Errorf("cancelled: %v, %d calls are still under way", err, c.inside.Load())
	}
}

// In turns, a step in parts allocates what one does whose rows stay together: nothing
// beside the classifier's answers.
func TestPartsAllocateNothing(t *testing.T) {
	allocations := func(inParts, hard bool, questions float64) float64 {
		g, _, _ := divided(t, inParts, func(o *Options) {
			if o.InTurns = true; hard {
				o.Harden = harden("guard")
			}
		})
		b, grads, values := testBatch(g), nn.NewGrads(g.params()), make([]float64, 1+len(g.reports()))
		steps := testing.AllocsPerRun(5, func() {
			grads.Zero()
			if err := g.step(t.Context(), b, grads, values); err != nil {
				t.Fatal(err)
			}
		})
		x, dy := tensor.Batch(2, g.m.Input), tensor.New(2, 3)
		return steps - questions*testing.AllocsPerRun(5, func() {
			a, err := g.classifier.ask(t.Context(), x, &g.classifier.room)
			if err == nil {
				_, err = a.Gradient(t.Context(), dy, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	if whole, apart := allocations(false, false, 1), allocations(true, false, 2); apart > whole {
		t.Errorf("a step in parts allocates %v times, a whole one %v", apart, whole)
	}
	if whole, apart := allocations(false, true, 3+1), allocations(true, true, 2*3+2); apart > whole {
		t.Errorf("a hardened step in parts allocates %v times, a whole one %v", apart, whole)
	}
}

// Validation has the same bits whether the host waits or passes the next rows forward
// meanwhile, with heads or without; the classifier has one call at a time, and whatever
// fails, the error is the same and nothing is left running.
func TestValidationWhileTheClassifierAnswers(t *testing.T) {
	const chunks = 3
	for name, change := range map[string]func(*Options){
		"heads": func(o *Options) {
			kernel := tensor.New(4, 3)
			for i := range kernel.Data {
				kernel.Data[i] = float32(i%5) / 5
			}
			o.Loss, o.Hidden = plain{}, []oracle.Head{{Name: sdktest.FakeHidden, Weight: .6, Kernel: kernel}}
		},
		"noise":   func(o *Options) { o.InputNoise, o.Smooth = .1, true },
		"weights": func(o *Options) { o.ClassWeight = ClassWeight{Balanced: true} },
		"uneven":  func(o *Options) { o.BatchSize = 5 },
	} {
		validate := func(turns bool, fault int64) ([]float64, error) {
			g, c, passes := divided(t, false, func(o *Options) {
				o.InTurns = turns
				change(o)
			})
			c.onCall = func(n int64) error {
				if n == fault {
					return fmt.Errorf("call %d is gone", n)
				}
				if turns {
					if p := passes.Load(); p > n {
						return fmt.Errorf("call %d comes after %d passes", n, p)
					}
					return nil
				}
				for start := time.Now(); passes.Load() < min(n+1, chunks); time.Sleep(time.Millisecond) {
					if time.Since(start) > time.Minute {
						return fmt.Errorf("call %d waits in vain for the next pass", n)
					}
				}
				return nil
			}
			values := make([]float64, 1+len(g.reports()))
			err := g.validate(t.Context(), values)
			if c.inside.Load() != 0 || c.most.Load() != 1 || fault == 0 && c.calls.Load() != chunks {
				t.Errorf("%s: %d calls, %d at once, %d under way", name, c.calls.Load(), c.most.Load(), c.inside.Load())
			}
			return values, err
		}
		want, err := validate(true, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := validate(false, 0)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v), in turns %v", name, got, err, want)
		}
		for fault := int64(1); fault <= chunks; fault++ {
			_, err := validate(false, fault)
			_, inTurns := validate(true, fault)
			if err == nil || fmt.Sprint(err) != fmt.Sprint(inTurns) {
				t.Errorf("%s: call %d fails: %v; in turns: %v", name, fault, err, inTurns)
			}
		}
	}
	g, c, _ := divided(t, false, nil)
	c.onCall = func(int64) error { panic("broken") }
	defer func() {
		if r := recover(); fmt.Sprint(r) != "broken" {
			t.Errorf("recovered %v", r)
		}
	}()
	t.Errorf("no panic: %v", g.validate(t.Context(), make([]float64, 1+len(g.reports()))))
}

// What stays together: rows of small networks, and those whose loss looks at the
// batch, or that have heads on hidden layers.
func TestWhatIsDivided(t *testing.T) {
	large, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 3, Encoder: []nn.Maker{tanh(6)}, Decoder: []nn.Maker{tanh(3000), tanh(3000), tanh(5)}}, Input: tensor.Shape{5}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Options)
		want   bool
	}{
		"large":       {func(*Options) {}, true},
		"in turns":    {func(o *Options) { o.InTurns = true }, true},
		"hardened":    {func(o *Options) { o.Harden = harden("classifier") }, true},
		"small":       {func(o *Options) { o.Model = nil }, false},
		"whole batch": {func(o *Options) { o.Loss = plain{} }, false},
		"one row":     {func(o *Options) { o.BatchSize = 1 }, false},
	} {
		g := testGuard(t, func(o *Options) {
			small := o.Model
			o.Loss, o.Hidden, o.Model, o.BatchSize = apart{}, nil, large, 12
			if c.change(o); o.Model == nil {
				o.Model = small
			}
		})
		if got := g.parts != nil; got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	g := testGuard(t, func(o *Options) { o.Loss, o.Model, o.BatchSize = apart{}, large, 12 })
	if g.parts != nil {
		t.Error("with heads on hidden layers it is divided")
	}
}
