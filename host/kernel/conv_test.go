package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// walk calls f for each pair of an input and an output pixel with a kernel position.
func (g Conv) walk(n int, f func(in, out, pos int)) {
	for img := range n {
		for p := range g.OH * g.OW {
			for q := range g.KH * g.KW {
				iy, ix := p/g.OW*g.SH-g.Top+q/g.KW, p%g.OW*g.SW-g.Left+q%g.KW
				if iy >= 0 && iy < g.H && ix >= 0 && ix < g.W {
					f((img*g.H+iy)*g.W+ix, img*g.OH*g.OW+p, q)
				}
			}
		}
	}
}

func randomConv(r *rand.Rand) Conv {
	g := Conv{H: 1 + r.IntN(9), W: 1 + r.IntN(9), C: 1 + r.IntN(19), F: 1 + r.IntN(37),
		KH: 1 + r.IntN(5), KW: 1 + r.IntN(5), SH: 1 + r.IntN(3), SW: 1 + r.IntN(3)}
	if r.IntN(4) == 0 {
		g.KH, g.KW, g.SH, g.SW = 1, 1, 1, 1
	}
	if r.IntN(4) > 0 { // same
		g.OH, g.OW = (g.H+g.SH-1)/g.SH, (g.W+g.SW-1)/g.SW
		g.Top = max(0, (g.OH-1)*g.SH+g.KH-g.H) / 2
		g.Left = max(0, (g.OW-1)*g.SW+g.KW-g.W) / 2
	} else { // anything
		g.OH, g.OW, g.Top, g.Left = 1+r.IntN(6), 1+r.IntN(6), r.IntN(4), r.IntN(4)
	}
	return g
}

func zeros(n int) []float64 { return make([]float64, n) }

func TestConv(t *testing.T) {
	eachMultiplier(t, func(t *testing.T, e *Engine) {
		r := source(5)
		for range 150 {
			testConv(t, e, r, randomConv(r), 1+r.IntN(4))
		}
		testConv(t, e, r, Conv{H: 16, W: 16, C: 70, OH: 8, OW: 8, F: 33, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}, 7)
		testConv(t, e, r, Conv{H: 28, W: 28, C: 3, OH: 14, OW: 14, F: 40, KH: 3, KW: 3, SH: 2, SW: 2, Top: 0, Left: 0}, 3)
	})
}

func testConv(t *testing.T, e *Engine, r *rand.Rand, g Conv, n int) {
	t.Helper()
	x, w, dy := randoms(r, n*g.in()), randoms(r, g.depth()*g.F), randoms(r, n*g.out())
	y, dx, dw := zeros(len(dy)), zeros(len(x)), zeros(len(w))
	bias, dbias := randoms(r, g.F), randoms(r, g.C)
	ep := Epilogue{Bias: bias, Act: Act{Kind: ReLU}}
	dep := Epilogue{Bias: dbias, Act: Act{Kind: ActKind(r.IntN(3))}}
	if r.IntN(3) == 0 {
		dep.Accumulate = true
	}
	old := randoms(r, len(x))
	if dep.Accumulate {
		for i, v := range old {
			dx[i] = float64(v)
		}
	}
	rx, rw, rdy := roundedFor(e, x), roundedFor(e, w), roundedFor(e, dy)
	g.walk(n, func(in, out, pos int) {
		for c := range g.C {
			for f := range g.F {
				xv, wv, dv := float64(rx[in*g.C+c]), float64(rw[(pos*g.C+c)*g.F+f]), float64(rdy[out*g.F+f])
				y[out*g.F+f] += xv * wv
				dx[in*g.C+c] += dv * wv
				dw[(pos*g.C+c)*g.F+f] += xv * dv
			}
		}
	})
	for i := range y {
		y[i] = actRef(y[i]+float64(bias[i%g.F]), ep.Act)
	}
	for i := range dx {
		dx[i] = actRef(dx[i]+float64(dbias[i%g.C]), dep.Act)
	}
	what := fmt.Sprintf("%+v ×%d ", g, n)
	got := make([]float32, len(dy))
	e.ConvForward(got, x, w, n, g, ep)
	near(t, what+"forward", got, y, sumTol(g.depth()))
	e.ConvInput(old, dy, w, n, g, dep)
	near(t, what+"input", old, dx, sumTol(g.KH*g.KW*g.F))
	got = make([]float32, len(w))
	e.ConvKernel(got, x, dy, n, g)
	near(t, what+"kernel", got, dw, sumTol(n*g.OH*g.OW))
}

// TestConvBits: bits depend on neither threads nor batch nor the x86 level.
func TestConvBits(t *testing.T) {
	r := source(6)
	const n = 64
	for _, g := range []Conv{
		{H: 8, W: 8, C: 40, OH: 4, OW: 4, F: 35, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1},
		{H: 8, W: 8, C: 3, OH: 4, OW: 4, F: 35, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1},
		{H: 7, W: 7, C: 5, OH: 7, OW: 7, F: 9, KH: 1, KW: 1, SH: 1, SW: 1},
		{H: 14, W: 14, C: 1, OH: 7, OW: 7, F: 16, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1},
		{H: 14, W: 14, C: 8, OH: 7, OW: 7, F: 16, KH: 3, KW: 3, SH: 2, SW: 2},
		{H: 13, W: 9, C: 12, OH: 5, OW: 5, F: 20, KH: 3, KW: 2, SH: 3, SW: 2, Top: 1, Left: 1},
		{H: 10, W: 10, C: 24, OH: 10, OW: 10, F: 3, KH: 3, KW: 3, SH: 1, SW: 1, Top: 1, Left: 1},
		{H: 8, W: 8, C: 64, OH: 8, OW: 8, F: 6, KH: 3, KW: 3, SH: 1, SW: 1, Top: 1, Left: 1},
		{H: 8, W: 8, C: 2, OH: 8, OW: 8, F: 40, KH: 2, KW: 2, SH: 1, SW: 1},
	} {
		x, w, dy := randoms(r, n*g.in()), randoms(r, g.depth()*g.F), randoms(r, n*g.out())
		var asm [3][]float32
		for _, l := range Levels() {
			var first [3][]float32
			for _, threads := range []int{1, 2, 3, 8} {
				e := newEngine(t, l, threads)
				dw := make([]float32, len(w))
				e.ConvKernel(dw, x, dy, n, g)
				for _, batch := range []int{64, 7, 1} {
					y, dx := make([]float32, len(dy)), make([]float32, len(x))
					for i := 0; i < n; i += batch {
						h := min(batch, n-i)
						e.ConvForward(y[i*g.out():(i+h)*g.out()], x[i*g.in():(i+h)*g.in()], w, h, g, Epilogue{})
						e.ConvInput(dx[i*g.in():(i+h)*g.in()], dy[i*g.out():(i+h)*g.out()], w, h, g, Epilogue{})
					}
					if first[0] == nil {
						first = [3][]float32{y, dx, dw}
					}
					what := fmt.Sprintf("%s, %d threads, batch %d", l, threads, batch)
					sameBits(t, what+" y", y, first[0])
					sameBits(t, what+" dx", dx, first[1])
					sameBits(t, what+" dw", dw, first[2])
				}
			}
			if l == Generic {
				continue
			}
			if asm[0] == nil {
				asm = first
			}
			for i := range asm {
				sameBits(t, "levels", first[i], asm[i])
			}
		}
	}
}

func TestDepthwise(t *testing.T) {
	eachEngine(t, func(t *testing.T, e *Engine) {
		r := source(7)
		for range 60 {
			g := Depthwise{Conv: randomConv(r), M: 1 + r.IntN(3)}
			n := 1 + r.IntN(3)
			f := g.C * g.M
			x, w, dy := randoms(r, n*g.in()), randoms(r, g.depth()*g.M), randoms(r, n*g.out())
			y, dx, dw := zeros(len(dy)), zeros(len(x)), zeros(len(w))
			g.walk(n, func(in, out, pos int) {
				for c := range f {
					xv, wv, dv := float64(x[in*g.C+c/g.M]), float64(w[pos*f+c]), float64(dy[out*f+c])
					y[out*f+c] += xv * wv
					dx[in*g.C+c/g.M] += dv * wv
					dw[pos*f+c] += xv * dv
				}
			})
			bias := randoms(r, f)
			for i := range y {
				y[i] = actRef(y[i]+float64(bias[i%f]), Act{Kind: Tanh})
			}
			got := make([]float32, len(y))
			e.DepthwiseForward(got, x, w, n, g, Epilogue{Bias: bias, Act: Act{Kind: Tanh}})
			near(t, "forward", got, y, sumTol(g.KH*g.KW))
			got = make([]float32, len(x))
			e.DepthwiseInput(got, dy, w, n, g)
			near(t, "input", got, dx, sumTol(g.KH*g.KW*g.M))
			got = make([]float32, len(w))
			e.DepthwiseKernel(got, x, dy, n, g)
			near(t, "kernel", got, dw, sumTol(n*g.OH*g.OW))
		}
	})
}

func TestPool(t *testing.T) {
	eachEngine(t, func(t *testing.T, e *Engine) {
		r := source(8)
		for range 60 {
			c := randomConv(r)
			g := Pool{H: c.H, W: c.W, C: c.C, OH: c.OH, OW: c.OW, KH: c.KH, KW: c.KW, SH: c.SH, SW: c.SW, Top: c.Top, Left: c.Left}
			n := 1 + r.IntN(3)
			x, dy := randoms(r, n*g.in()), randoms(r, n*g.out())
			best, dmax := zeros(len(dy)), zeros(len(x))
			mean, davg, count := zeros(len(dy)), zeros(len(x)), zeros(len(dy))
			arg := make([]int, len(dy))
			c.walk(n, func(in, out, _ int) {
				for q := range g.C {
					i, o := in*g.C+q, out*g.C+q
					if count[o] == 0 || float64(x[i]) > best[o] {
						best[o], arg[o] = float64(x[i]), i
					}
					count[o]++
					mean[o] += float64(x[i])
				}
			})
			for o := range mean {
				if count[o] > 0 {
					mean[o] /= count[o]
					dmax[arg[o]] += float64(dy[o])
				}
			}
			c.walk(n, func(in, out, _ int) {
				for q := range g.C {
					davg[in*g.C+q] += float64(dy[out*g.C+q]) / count[out*g.C+q]
				}
			})
			y, args, dx := make([]float32, len(dy)), make([]int32, len(dy)), make([]float32, len(x))
			e.MaxPool(y, args, x, n, g)
			near(t, "max", y, best, 0)
			e.MaxPoolGrad(dx, dy, args, n, g)
			near(t, "max grad", dx, dmax, 1e-6)
			e.MaxPool(y, nil, x, n, g)
			near(t, "max without arg", y, best, 0)
			e.AvgPool(y, x, n, g)
			near(t, "mean", y, mean, 1e-6)
			e.AvgPoolGrad(dx, dy, n, g)
			near(t, "mean grad", dx, davg, 2e-6)
		}
	})
}
