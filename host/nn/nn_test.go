package nn_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func engine(t *testing.T) *kernel.Engine {
	t.Helper()
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// noisy adds noise to its input and multiplies by a param.
type noisy struct{ factor *nn.Param }

func (l *noisy) Make(tensor.Shape, *rand.Rand) (nn.Layer, error) {
	if l.factor == nil {
		return nil, errors.New("noisy: want a factor")
	}
	return l, nil
}
func (l *noisy) Out() tensor.Shape   { return tensor.Shape{3} }
func (l *noisy) Params() []*nn.Param { return []*nn.Param{l.factor} }
func (l *noisy) Plan(p *nn.Plan)     { p.Tensor(l, l.Out()) }
func (l *noisy) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, 0, x.N())
	w.Noise(l, y.Data, x.N(), true)
	w.K.Add(y.Data, x.Data)
	w.K.Scale(y.Data, y.Data, l.factor.Value.Data[0], 0)
	return y
}
func (l *noisy) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	w.K.Scale(dy.Data, dy.Data, l.factor.Value.Data[0], 0)
	return dy
}

func newNoisy() *noisy {
	return &noisy{&nn.Param{Name: "factor", Value: tensor.From([]float32{2}, 1)}}
}

func TestBuildNamesAndErrors(t *testing.T) {
	seq, err := nn.Build([]nn.Maker{newNoisy(), newNoisy()}, tensor.Shape{3}, nn.FreshRand(1))
	if err != nil {
		t.Fatal(err)
	}
	if got := seq.Params()[1].Name; got != "1.factor" {
		t.Errorf("second param %q, want 1.factor", got)
	}
	_, err = nn.Build([]nn.Maker{newNoisy(), &noisy{}}, tensor.Shape{3}, nn.FreshRand(1))
	var bad *nn.LayerError
	if !errors.As(err, &bad) || len(bad.Path) != 1 || bad.Path[0] != 1 {
		t.Errorf("%v, want a LayerError at 1", err)
	}
}

// TestNoiseFollowsExamples: an example's noise is its own in any batch, and
// differs between layers and steps.
func TestNoiseFollowsExamples(t *testing.T) {
	seq, err := nn.Build([]nn.Maker{newNoisy(), newNoisy()}, tensor.Shape{3}, nn.FreshRand(1))
	if err != nil {
		t.Fatal(err)
	}
	w := nn.NewWorkspace(engine(t), seq, 4, nn.Training)
	x := tensor.New(4, 3)
	w.Draw = nn.Draw{Seed: 5, Step: 9, Examples: []uint64{3, 1, 4, 2}}
	y := seq.Forward(w, x).Clone()
	w.Draw.Examples = []uint64{4, 3}
	z := seq.Forward(w, x.Rows(0, 2))
	for i, from := range []int{2, 0} {
		for j, v := range z.Row(i) {
			if v != y.Row(from)[j] {
				t.Errorf("example in another batch: %v, want %v", z.Row(i), y.Row(from))
			}
		}
	}
	w.Draw.Step++
	if again := seq.Forward(w, x.Rows(0, 2)); again.Data[0] == y.Row(2)[0] {
		t.Error("another step gave the same noise")
	}
}

func TestGrads(t *testing.T) {
	k := engine(t)
	weight := &nn.Param{Name: "w", Value: tensor.From([]float32{3, -4}, 2), L1: 0.5, L2: 0.25}
	mean := &nn.Param{Name: "m", Value: tensor.From([]float32{1, 1}, 2), Role: nn.Statistic, Momentum: 0.75}
	g := nn.NewGrads([]*nn.Param{weight, mean})

	if got, want := g.Penalty(k), 0.5*7+0.25*25; math.Abs(got-want) > 1e-6 {
		t.Errorf("penalty %v, want %v", got, want)
	}
	// 2·L2·w + L1·sign(w)
	expect(t, "penalty's gradient", g.Of(weight).Data, 2, -2.5)

	copy(g.Of(weight).Data, []float32{3, -4})
	if got := g.ClipGlobalNorm(k, 2.5); math.Abs(got-5) > 1e-6 {
		t.Errorf("global norm %v, want 5", got)
	}
	expect(t, "clipped global norm", g.Of(weight).Data, 1.5, -2)
	g.ClipNorm(k, 1)
	expect(t, "clipped norm", g.Of(weight).Data, 0.6, -0.8)
	g.ClipValue(0.7)
	expect(t, "clipped value", g.Of(weight).Data, 0.6, -0.7)

	g.ApplyStatistics(k)
	expect(t, "statistic that was not observed", mean.Value.Data, 1, 1)
	g.Observe(k, mean, []float32{2, 4})
	g.Observe(k, mean, []float32{4, 8})
	g.ApplyStatistics(k)
	expect(t, "statistic", mean.Value.Data, 0.75+0.25*3, 0.75+0.25*6)
	g.Zero()
	expect(t, "zero gradient", g.Of(weight).Data, 0, 0)
}

func expect(t *testing.T, what string, got []float32, want ...float64) {
	t.Helper()
	for i, v := range want {
		if math.Abs(float64(got[i])-v) > 1e-6 {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

func TestCrossEntropy(t *testing.T) {
	k := engine(t)
	logits := tensor.From([]float32{0, 0, 2, 0}, 2, 2)
	d := tensor.New(2, 2)
	loss, right := nn.CrossEntropy(k, d, logits, []int{0, 1})
	p := 1 / (1 + math.Exp(-2)) // softmax of (2, 0)
	if want := (math.Ln2 - math.Log(1-p)) / 2; math.Abs(loss-want) > 1e-6 || right != 1 {
		t.Errorf("loss %v with %d right, want %v with 1", loss, right, want)
	}
	expect(t, "gradient", d.Data, -0.25, 0.25, p/2, -p/2)
}

// TestInitializers: spreads are those of Keras 3 for a 3×3 kernel of 4 to 8
// channels: fan in 36, fan out 72.
func TestInitializers(t *testing.T) {
	for name, c := range map[string]struct{ limit, deviation float64 }{
		"glorot_uniform":   {math.Sqrt(6.0 / 108), math.Sqrt(2.0 / 108)},
		"he_uniform":       {math.Sqrt(6.0 / 36), math.Sqrt(2.0 / 36)},
		"lecun_uniform":    {math.Sqrt(3.0 / 36), math.Sqrt(1.0 / 36)},
		"glorot_normal":    {2 * math.Sqrt(2.0/108) / .8796, math.Sqrt(2.0 / 108)},
		"he_normal":        {2 * math.Sqrt(2.0/36) / .8796, math.Sqrt(2.0 / 36)},
		"lecun_normal":     {2 * math.Sqrt(1.0/36) / .8796, math.Sqrt(1.0 / 36)},
		"random_uniform":   {0.05, 0.05 / math.Sqrt(3)},
		"random_normal":    {0.3, 0.05},
		"truncated_normal": {0.1, 0.05 * .8796},
		"zeros":            {0, 0},
	} {
		r := nn.FreshRand(1)
		largest, squares, n := 0.0, 0.0, 0
		for range 20 {
			for _, v := range nn.Initializer(name).New(r, 3, 3, 4, 8).Data {
				largest = max(largest, math.Abs(float64(v)))
				squares += float64(v) * float64(v)
				n++
			}
		}
		deviation := math.Sqrt(squares / float64(n))
		if largest > c.limit*1.0001 || math.Abs(deviation-c.deviation) > 0.03*c.deviation {
			t.Errorf("%s: largest %v, deviation %v, want at most %v, about %v", name, largest, deviation, c.limit, c.deviation)
		}
	}
}

func TestOptions(t *testing.T) {
	var p nn.Pair
	for _, c := range []struct {
		v    any
		want string
	}{
		{0, "want 1 to 65536"}, {[]any{1, 2, 3}, "a list of 3"}, {"3", "want a number"}, {[]any{1, 2.5}, "want a number"},
	} {
		if err := p.DecodeValue(c.v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("pair %v: %v, want %q", c.v, err, c.want)
		}
	}
	if err := p.DecodeValue([]any{3, 5}); err != nil || p != (nn.Pair{3, 5}) {
		t.Errorf("pair [3, 5] is %v, %v", p, err)
	}
	var a nn.Activation
	for _, c := range []struct {
		v    any
		want string
	}{
		{"rellu", "unknown activation"},
		{map[string]any{"relu": map[string]any{"alpha": 1}}, "unknown key"},
		{map[string]any{"elu": map[string]any{"alpha": "x"}}, "want a number"},
		{3, "want the name"},
	} {
		if err := a.DecodeValue(c.v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("activation %v: %v, want %q", c.v, err, c.want)
		}
	}
	if err := a.DecodeValue(map[string]any{"leaky_relu": map[string]any{"negative_slope": 0.1}}); err != nil || a.Alpha != 0.1 {
		t.Errorf("leaky_relu of slope 0.1 is %+v, %v", a, err)
	}
}
