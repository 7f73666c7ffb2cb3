package kernel

import (
	"math"
	"testing"
)

// maxULP is the promise for exp, log, tanh and sigmoid in the normal range.
const maxULP = 2

// TestPrecision walks the normal range of the results and measures the error
// in units of the last place of the exact result.
func TestPrecision(t *testing.T) {
	var x []float32
	for u := uint32(0); u < 1<<31; u += 40_009 { // all magnitudes, both signs
		x = append(x, math.Float32frombits(u), math.Float32frombits(u|1<<31))
	}
	for v := -110.; v < 110; v += .0007 {
		x = append(x, float32(v))
	}
	sigmoid := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	eachEngine(t, func(t *testing.T, e *Engine) {
		y := make([]float32, len(x))
		for _, c := range []struct {
			name  string
			f     func(y, x []float32)
			exact func(float64) float64
		}{
			{"exp", e.Exp, math.Exp},
			{"log", e.Log, math.Log},
			{"tanh", func(y, x []float32) { e.Activate(y, x, Act{Kind: Tanh}) }, math.Tanh},
			{"sigmoid", func(y, x []float32) { e.Activate(y, x, Act{Kind: Sigmoid}) }, sigmoid},
		} {
			c.f(y, x)
			worst, at := 0.0, float32(0)
			for i, v := range x {
				w := c.exact(float64(v))
				if a := math.Abs(w); math.IsNaN(w) || a < 0x1p-126 || a > math.MaxFloat32 {
					continue
				}
				_, exp := math.Frexp(w)
				if u := math.Abs(float64(y[i])-w) / math.Ldexp(1, exp-24); u > worst || u != u {
					worst, at = u, v
				}
			}
			t.Logf("%s: %.2f ulp at %g", c.name, worst, at)
			if !(worst <= maxULP) {
				t.Errorf("%s(%g): %v ulp, want at most %d", c.name, at, worst, maxULP)
			}
		}
		for _, c := range []struct {
			a   Act
			ref func(float64) float64
		}{{Act{Kind: Softplus}, softplus}, {Act{Kind: GELU}, gelu}, {Act{Kind: SiLU}, silu}} {
			e.Activate(y, x, c.a)
			for i, v := range x {
				w := c.ref(float64(v))
				if d := math.Abs(float64(y[i]) - w); v == v && !math.IsInf(w, 0) && !(d <= 1e-6*math.Max(1, math.Abs(float64(v)))) {
					t.Fatalf("activation %d of %g = %g, want %g", c.a.Kind, v, y[i], w)
				}
			}
		}
	})
}

// TestLevelBits holds the vector levels to the same bits.
func TestLevelBits(t *testing.T) {
	var first [][]float32
	for _, l := range Levels() {
		if l == Generic {
			continue
		}
		e := newEngine(t, l, 1)
		r := source(20)
		var all [][]float32
		const n = 17 * 59
		x, a, b, c := randoms(r, n), randoms(r, n), randoms(r, n), randoms(r, n)
		for i := range x {
			x[i] *= 30
			c[i] *= c[i]
		}
		out := func(f func(y []float32)) {
			y := make([]float32, n)
			f(y)
			all = append(all, y)
		}
		for _, act := range activations {
			out(func(y []float32) { e.Activate(y, x, act) })
			out(func(y []float32) { e.ActivateGrad(y, a, x, x, act) })
		}
		out(func(y []float32) { e.Exp(y, x) })
		out(func(y []float32) { e.Log(y, c) })
		out(func(y []float32) { copy(y, a); e.Axpy(y, b, .3) })
		out(func(y []float32) { e.Scale(y, x, .3, .7) })
		out(func(y []float32) { e.ScaleColumns(y, x, a, b) })
		out(func(y []float32) { e.Reparametrize(y, a, x, b) })
		out(func(y []float32) { e.ReparametrizeGrad(y, a, x, b) })
		out(func(y []float32) { e.Softmax(y, x, 17) })
		out(func(y []float32) { e.LogSoftmax(y, x, n) })
		out(func(y []float32) { e.ColSum(y[:17], x) })
		out(func(y []float32) { e.Normal(y, Key{1, 2}, 5) })
		out(func(y []float32) { e.Uniform(y, Key{1, 2}, 5) })
		m, v := append([]float32(nil), b...), append([]float32(nil), c...)
		out(func(y []float32) { copy(y, x); e.Adam(y, a, m, v, AdamStep{.9, .999, 1e-7, .01, .001}) })
		out(func(y []float32) { copy(y, x); e.SGD(y, a, m, .1, .9, true) })
		out(func(y []float32) { copy(y, x); e.SGD(y, a, m, .1, .9, false) })
		out(func(y []float32) { copy(y, x); e.RMSprop(y, a, v, .1, .9, 1e-7) })
		all = append(all, m, v)
		if first == nil {
			first = all
		}
		for i := range all {
			sameBits(t, "output", all[i], first[i])
		}
	}
}
