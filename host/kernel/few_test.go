package kernel

import (
	"fmt"
	"testing"
)

// someFew are convolutions with few channels on one side, in all forms.
func someFew(t *testing.T) []Conv {
	t.Helper()
	var out []Conv
	seen := map[form]int{}
	for r := source(60); len(out) < 150; {
		g := randomConv(r)
		if g.pointwise() {
			continue
		}
		g.C, g.F = 1+r.IntN(18), 1+r.IntN(70)
		if r.IntN(2) == 0 {
			g.C, g.F = g.F, g.C
		}
		out = append(out, g)
		for _, f := range []form{g.forwardForm(AVX512, false), g.inputForm(AVX512, false), g.kernelForm(AVX512, false)} {
			seen[f]++
		}
	}
	for _, f := range []form{byColumns, byWindows, byPlanes} {
		if seen[f] < 10 {
			t.Fatalf("form %d is that of %d convolutions", f, seen[f])
		}
	}
	return out
}

// Windows and planes have the bits of products over columns and phases, with any
// epilogue; only what scatters has others.
func TestFewHasTheBitsOfColumns(t *testing.T) {
	r := source(61)
	for _, g := range someFew(t) {
		n := 1 + r.IntN(4)
		x, w, dy := randoms(r, n*g.in()), randoms(r, g.depth()*g.F), randoms(r, n*g.out())
		bias, dbias := randoms(r, g.F), randoms(r, g.C)
		oldY, oldX := randoms(r, len(dy)), randoms(r, len(x))
		act := activations[r.IntN(len(activations))]
		accumulate, pre := r.IntN(3) == 0, r.IntN(3) == 0
		for _, l := range Levels()[1:] {
			var got [2][5][]float32
			for i, few := range []bool{false, true} {
				e := newEngine(t, l, 1+r.IntN(3))
				e.few = few
				y, dx, dw := append([]float32(nil), oldY...), append([]float32(nil), oldX...), make([]float32, len(w))
				ep, dep := Epilogue{Accumulate: accumulate, Bias: bias, Act: act}, Epilogue{Accumulate: accumulate, Bias: dbias, Act: act}
				if pre {
					ep.Pre, dep.Pre = make([]float32, len(y)), make([]float32, len(dx))
				}
				e.ConvForward(y, x, w, n, g, ep)
				e.ConvKernel(dw, x, dy, n, g)
				e.ConvInput(dx, dy, w, n, g, dep)
				if g.scatters() {
					dx, dep.Pre = nil, nil
				}
				got[i] = [5][]float32{y, ep.Pre, dw, dx, dep.Pre}
			}
			for i, name := range []string{"y", "y before the activation", "dw", "dx", "dx before the activation"} {
				sameBits(t, fmt.Sprintf("%+v ×%d, %s, %s", g, n, l, name), got[1][i], got[0][i])
			}
		}
	}
}

// Results of few channels are right, and stay within their slices.
func TestFew(t *testing.T) {
	r := source(62)
	for _, g := range someFew(t) {
		for _, l := range Levels() {
			testConv(t, newEngine(t, l, 1+r.IntN(3)), r, g, 1+r.IntN(3))
		}
	}
}
