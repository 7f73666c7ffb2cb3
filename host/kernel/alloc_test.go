package kernel

import "testing"

// TestNoAllocations: once scratch has grown, no call allocates.
func TestNoAllocations(t *testing.T) {
	eachMultiplier(t, func(t *testing.T, e *Engine) {
		r := source(30)
		const n = 4
		g := Conv{H: 8, W: 8, C: 20, OH: 4, OW: 4, F: 33, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}
		few := Conv{H: 8, W: 8, C: 3, OH: 4, OW: 4, F: 33, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}
		deep := Depthwise{Conv: Conv{H: 8, W: 8, C: 20, OH: 8, OW: 8, KH: 3, KW: 3, SH: 1, SW: 1, Top: 1, Left: 1}, M: 1}
		p := Pool{H: 8, W: 8, C: 20, OH: 4, OW: 4, KH: 2, KW: 2, SH: 2, SW: 2}
		a, b, c := randoms(r, 1<<18), randoms(r, 1<<18), make([]float32, 1<<18)
		arg := make([]int32, n*p.out())
		x, y, z, u := a[:70_000], b[:70_000], c[:70_000], append([]float32(nil), b[:70_000]...)
		e.Scale(u, u, 0, 1)
		for name, f := range map[string]func(){
			"gemm":      func() { e.Gemm(c, 100, Dense(a, 350, 300), Dense(b, 300, 100), Epilogue{Act: Act{Kind: Tanh}}) },
			"gemm few":  func() { e.Gemm(c, 700, Dense(a, 20, 300), Dense(b, 300, 700), Epilogue{}) },
			"gemm flip": func() { e.Gemm(c, 700, Dense(a, 64, 300), Dense(b, 700, 300).T(), Epilogue{Bias: a[:700]}) },
			"gemm tiny": func() { e.Gemm(c, 32, Dense(a, 64, 20), Dense(b, 20, 32), Epilogue{Act: Act{Kind: ReLU}}) },
			"forward": func() {
				e.ConvForward(c[:n*g.out()], a[:n*g.in()], b[:g.depth()*g.F], n, g, Epilogue{Act: Act{Kind: GELU}})
			},
			"input": func() {
				e.ConvInput(c[:n*g.in()], a[:n*g.out()], b[:g.depth()*g.F], n, g, Epilogue{Act: Act{Kind: Sigmoid}})
			},
			"scatter": func() { e.ConvInput(c[:n*few.in()], a[:n*few.out()], b[:few.depth()*few.F], n, few, Epilogue{}) },
			"few": func() {
				g := Conv{H: 8, W: 8, C: 3, OH: 4, OW: 4, F: 16, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}
				e.ConvForward(c[:n*g.out()], a[:n*g.in()], b[:g.depth()*g.F], n, g, Epilogue{Act: Act{Kind: ReLU}})
				e.ConvInput(c[:n*g.in()], a[:n*g.out()], b[:g.depth()*g.F], n, g, Epilogue{Act: Act{Kind: Sigmoid}})
				e.ConvKernel(c[:g.depth()*g.F], a[:n*g.in()], b[:n*g.out()], n, g)
			},
			"kernel": func() { e.ConvKernel(c[:g.depth()*g.F], a[:n*g.in()], b[:n*g.out()], n, g) },
			"deep": func() {
				e.DepthwiseForward(c[:n*deep.out()], a[:n*deep.in()], b[:deep.depth()], n, deep, Epilogue{})
				e.DepthwiseInput(c[:n*deep.in()], a[:n*deep.out()], b[:deep.depth()], n, deep)
				e.DepthwiseKernel(c[:deep.depth()], a[:n*deep.in()], b[:n*deep.out()], n, deep)
			},
			"pool": func() {
				e.MaxPool(c[:n*p.out()], arg, a[:n*p.in()], n, p)
				e.MaxPoolGrad(c[:n*p.in()], a[:n*p.out()], arg, n, p)
				e.AvgPool(c[:n*p.out()], a[:n*p.in()], n, p)
				e.AvgPoolGrad(c[:n*p.in()], a[:n*p.out()], n, p)
			},
			"maps": func() {
				e.Exp(z, x)
				e.Log(z, u)
				e.Mul(z, x, y)
				e.Axpy(z, x, 2)
				e.Scale(z, x, 2, 1)
				e.ScaleColumns(z, x, y[:100], y[:100])
				e.Activate(z, x, Act{Kind: Softplus})
				e.ActivateGrad(z, x, y, y, Act{Kind: SiLU})
				e.Reparametrize(z, x, y, x)
				e.ReparametrizeGrad(z, x, y, x)
			},
			"rows": func() {
				e.Softmax(z, x, 10)
				e.LogSoftmax(z, x, 10)
				e.SoftmaxGrad(z, x, y, 10)
				e.ColSum(z[:100], x)
				e.ColMoments(z[:100], z[100:200], x)
				e.SumSquares(x)
			},
			"optimisers": func() {
				e.Adam(z, x, y, u, AdamStep{.9, .999, 1e-7, .001, 0})
				e.SGD(z, x, y, .1, .9, true)
				e.RMSprop(z, x, u, .1, .9, 1e-7)
			},
			"random": func() {
				e.Uniform(z, Key{1, 2}, 3)
				e.Normal(z, Key{1, 2}, 3)
			},
		} {
			f()
			if got := testing.AllocsPerRun(5, f); got != 0 {
				t.Errorf("%s: %v allocations", name, got)
			}
		}
	})
}
