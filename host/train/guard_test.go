package train

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// plain is KL(P ‖ Q) plus hidden terms plus half the squared error, written
// without regard to speed.
type plain struct {
	kl, hidden *Divergence
	weights    []float64
}

func (plain) Make(s Setup) (Objective, error) {
	return plain{NewDivergence(s.Output, s.Temperature, 0), NewDivergence(sdk.Logits, 1, 0), s.HiddenWeights}, nil
}
func (plain) UsesClassifier() bool { return true }

func (p plain) Loss(s *Step) float64 {
	total := 0.0
	row := func(t *tensor.Tensor, i int) []float32 {
		if t == nil {
			return nil
		}
		return t.Row(i)
	}
	for i := range s.N() {
		w := s.Weight(i)
		v, _ := p.kl.Row(s.P.Row(i), s.Q.Row(i), row(s.DQ, i), w)
		total += w * v
		for h, q := range s.HiddenQ {
			var d []float32
			if s.DHiddenQ != nil {
				d = s.DHiddenQ[h].Row(i)
			}
			wh := w * p.weights[h]
			v, _ := p.hidden.Row(s.HiddenP[h].Row(i), q.Row(i), d, wh)
			total += wh * v
		}
		x, y, dy := s.UnitX.Row(i), s.UnitRebuilt.Row(i), row(s.DUnitRebuilt, i)
		for j := range x {
			t := float64(y[j]) - float64(x[j])
			total += w * t * t / 2
			if dy != nil {
				dy[j] += float32(w * t)
			}
		}
	}
	return total
}

func tanh(units int) layers.Dense {
	d := layers.NewDense(units)
	d.Activation = nn.Activation{Name: "tanh"}
	return d
}

func testEngine(t *testing.T) *kernel.Engine {
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// testGuard is a guard of five features with everything switched on.
func testGuard(t *testing.T, change func(*Options)) *guard {
	r := rand.New(rand.NewPCG(1, 1))
	x := tensor.New(12, 5)
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	norm, err := vae.NewNormalizer([]float64{.5, .4, .3, .2, .1}, []float64{.5, 2, 1, .3, .7}, x.Example())
	if err != nil {
		t.Fatal(err)
	}
	m, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 3, Encoder: []nn.Maker{tanh(6)}, Decoder: []nn.Maker{tanh(7), tanh(5)}}, Input: x.Example(), Normalizer: norm}, 2)
	if err != nil {
		t.Fatal(err)
	}
	head := tensor.New(4, 3)
	for i := range head.Data {
		head.Data[i] = r.Float32() - .5
	}
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		t.Fatal(err)
	}
	o := &Options{Section: Section{Loss: plain{}, LatentReduction: "sum", Optimizer: adam, Epochs: 2, BatchSize: 4}, Engine: testEngine(t), Model: m, Classifier: &sdktest.Fake{Shape: x.Example(), Classes: 3, Units: 4, Seed: 3},
		Train: dataset.InMemory(x), Validation: x, Setup: Setup{Temperature: .8}, Beta: .3,
		Hidden: []oracle.Head{{Name: sdktest.FakeHidden, Weight: .6, Kernel: head}}, Seed: 5}
	if change != nil {
		change(o)
	}
	g, err := newGuard(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func testBatch(g *guard) *batch {
	b := &batch{buf: newView(4, g.m.Input), epoch: 1, step: 3, total: 6}
	b.gather(g.o.Train, []int{7, 2, 9, 4})
	return b
}

// TestWholeGradient compares the gradients of a step, through classifier,
// heads, normalisation, noise and latent term, with central differences.
func TestWholeGradient(t *testing.T) {
	const h, tolerance = 5e-3, 3e-3
	for name, change := range map[string]func(*Options){
		"clean": nil,
		"noise": func(o *Options) { o.InputNoise = .1 },
		"hardened through noise": func(o *Options) {
			o.InputNoise, o.Smooth = .1, true
			o.Harden = &Harden{Norm: "linf", Eps: .1, Steps: 1, Through: "classifier", Weight: .7}
		},
		// The attack sees the gradient at other weights only through its
		// start, if it cannot step.
		"hardened": func(o *Options) {
			o.Harden = &Harden{Norm: "linf", Eps: .1, Steps: 1, Through: "classifier", Weight: .7}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := testGuard(t, change)
			b := testBatch(g)
			grads, scratch := nn.NewGrads(g.params()), nn.NewGrads(g.params())
			values := make([]float64, 1+len(g.reports()))
			if err := g.step(t.Context(), b, grads, values); err != nil {
				t.Fatal(err)
			}
			f := func() float64 {
				values := make([]float64, len(values))
				if err := g.step(t.Context(), b, scratch, values); err != nil {
					t.Fatal(err)
				}
				return values[0]
			}
			if again := f(); again != values[0] {
				t.Fatalf("the same step has loss %v, then %v", values[0], again)
			}
			for _, p := range g.params() {
				for i := 0; i < len(p.Value.Data); i += 2 {
					old := p.Value.Data[i]
					p.Value.Data[i] = old + h
					up := f()
					p.Value.Data[i] = old - h
					down := f()
					p.Value.Data[i] = old
					want := (up - down) / (2 * h)
					if got := float64(grads.Of(p).Data[i]); math.Abs(got-want) > tolerance*(1+math.Abs(want)) {
						t.Errorf("%s[%d] = %v, want %v", p.Name, i, got, want)
					}
				}
			}
		})
	}
}

// TestStepAllocations: the engine's share of a step allocates nothing; the
// classifier's is left out.
func TestStepAllocations(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"reconstruction": func(o *Options) { o.Loss, o.Hidden = squares{}, nil },
		"adversarial":    func(o *Options) { o.Classifier = &still{Fake: o.Classifier.(*sdktest.Fake)} },
	} {
		g := testGuard(t, change)
		b := testBatch(g)
		l := newLoop(g.o, g)
		var err error
		if b.x, err = dataset.Take(g.o.Train, []int{0, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		step := func() {
			if err := l.step(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		step()
		if n := testing.AllocsPerRun(20, step); n != 0 {
			t.Errorf("%s: a step allocates %v times, want 0", name, n)
		}
	}
}

// still is a classifier that gives one answer again and again.
type still struct {
	*sdktest.Fake
	outs map[string]*tensor.Tensor
	dx   *tensor.Tensor
	pull sdk.Pullback
}

func (s *still) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	if s.outs == nil || s.dx.N() != x.N() {
		s.dx = tensor.Batch(x.N(), x.Example())
		s.pull = func(context.Context, map[string]*tensor.Tensor) (*tensor.Tensor, error) { return s.dx, nil }
		var err error
		if s.outs, _, err = s.Fake.Forward(ctx, x, outputs...); err != nil {
			return nil, nil, err
		}
	}
	return s.outs, s.pull, nil
}

// squares is the squared error alone.
type squares struct{}

func (squares) Make(Setup) (Objective, error) { return squares{}, nil }
func (squares) UsesClassifier() bool          { return false }
func (squares) Loss(s *Step) float64 {
	total := 0.0
	for i, v := range s.UnitRebuilt.Data {
		d := v - s.UnitX.Data[i]
		total += float64(d * d)
		s.DUnitRebuilt.Data[i] += 2 * d
	}
	return total
}

// TestOrder: an epoch visits every row once, and no two epochs alike.
func TestOrder(t *testing.T) {
	seen := make([]bool, 50)
	first, second := order(1, streamOrder, 0, 50), order(1, streamOrder, 1, 50)
	same := 0
	for i, r := range first {
		if seen[r] {
			t.Fatalf("row %d twice", r)
		}
		seen[r] = true
		if second[i] == r {
			same++
		}
	}
	if same > 10 {
		t.Errorf("%d of 50 rows have the same place in two epochs", same)
	}
}

// TestNoiseKeys: an example's noise does not depend on its place.
func TestNoiseKeys(t *testing.T) {
	k := testEngine(t)
	a, b := tensor.New(2, 3), tensor.New(1, 3)
	normal(k, a, 1, streamCode, 2, []uint64{8, 5})
	normal(k, b, 1, streamCode, 2, []uint64{5})
	for j, v := range b.Row(0) {
		if a.Row(1)[j] != v {
			t.Errorf("dimension %d is %v in a batch and %v alone", j, a.Row(1)[j], v)
		}
	}
	normal(k, b, 1, streamCode, 3, []uint64{5})
	if a.Row(1)[0] == b.Row(0)[0] {
		t.Error("two epochs share their noise")
	}
}
