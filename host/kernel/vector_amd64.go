package kernel

import (
	"math"
	"unsafe"
)

// mapFns are the element-wise functions of one level, as the assembly has them.
type mapFns struct {
	exp, log, toHalf                 func(n int, y, x *float32)
	axpy                             func(n int, y, x *float32, s float32)
	scale                            func(n int, y, x *float32, s, o float32)
	mul, mulAdd                      func(n int, y, a, b *float32)
	mulPlus                          func(n int, y, x, s, o *float32)
	reparametrize, reparametrizeGrad func(n int, z, mu, logvar, eps *float32)
	act                              [Sigmoid + 1]func(n int, y, x *float32, alpha float32)
	grad                             [Sigmoid + 1]func(n int, dx, dy, y *float32, alpha float32)
	adam                             func(n int, p, g, m, v *float32, c1, c2, eps, rate, decay float32)
	momentum, nesterov               func(n int, p, g, v *float32, lr, mu float32)
	rmsprop                          func(n int, p, g, s *float32, lr, rho, one, eps float32)
	max                              func(n int, y, x *float32)
	maxArg                           func(n int, y, x, arg *float32, at float32)
	less                             func(n int, y, x *float32, s, t float32)
	softmaxGrad                      func(n int, dx, dy, y *float32, s float32)
	maxRow                           func(n int, x *float32) float32
	sumExp, sumExpOnly               func(n int, y, x *float32, top float32) float32
	dotRow                           func(n int, a, b *float32) float32
	sumColumns                       func(n int, d, x *float32, ld, rows int)
	uniform, normal                  func(dst *float32, key *uint64, block uint64)
}

var maps256 = mapFns{
	exp: exp256, log: log256, toHalf: toHalf256, axpy: axpy256, scale: scale256, mul: mul256, mulAdd: mulAdd256, mulPlus: mulPlus256,
	reparametrize: reparametrize256, reparametrizeGrad: reparametrizeGrad256,
	act: [...]func(n int, y, x *float32, alpha float32){ReLU: actReLU256, LeakyReLU: actLeakyReLU256, ELU: actELU256,
		SELU: actSELU256, GELU: actGELU256, SiLU: actSiLU256, Softplus: actSoftplus256, Tanh: actTanh256, Sigmoid: actSigmoid256},
	grad: [...]func(n int, dx, dy, y *float32, alpha float32){ReLU: gradReLU256, LeakyReLU: gradLeakyReLU256, ELU: gradELU256,
		SELU: gradSELU256, GELU: gradGELU256, SiLU: gradSiLU256, Softplus: gradSoftplus256, Tanh: gradTanh256, Sigmoid: gradSigmoid256},
	adam: adam256, momentum: momentum256, nesterov: nesterov256, rmsprop: rmsprop256,
	max: max256, maxArg: maxArg256, less: less256, softmaxGrad: softmaxGrad256, maxRow: maxRow256, sumExp: sumExp256, sumExpOnly: sumExpOnly256, dotRow: dotRow256,
	sumColumns: sumColumns256, uniform: uniform256, normal: normal256,
}

var maps512 = mapFns{
	exp: exp512, log: log512, toHalf: toHalf512, axpy: axpy512, scale: scale512, mul: mul512, mulAdd: mulAdd512, mulPlus: mulPlus512,
	reparametrize: reparametrize512, reparametrizeGrad: reparametrizeGrad512,
	act: [...]func(n int, y, x *float32, alpha float32){ReLU: actReLU512, LeakyReLU: actLeakyReLU512, ELU: actELU512,
		SELU: actSELU512, GELU: actGELU512, SiLU: actSiLU512, Softplus: actSoftplus512, Tanh: actTanh512, Sigmoid: actSigmoid512},
	grad: [...]func(n int, dx, dy, y *float32, alpha float32){ReLU: gradReLU512, LeakyReLU: gradLeakyReLU512, ELU: gradELU512,
		SELU: gradSELU512, GELU: gradGELU512, SiLU: gradSiLU512, Softplus: gradSoftplus512, Tanh: gradTanh512, Sigmoid: gradSigmoid512},
	adam: adam512, momentum: momentum512, nesterov: nesterov512, rmsprop: rmsprop512,
	max: max512, maxArg: maxArg512, less: less512, softmaxGrad: softmaxGrad512, maxRow: maxRow512, sumExp: sumExp512, sumExpOnly: sumExpOnly512, dotRow: dotRow512,
	sumColumns: sumColumns512, uniform: uniform512, normal: normal512,
}

// vectorOps are a level's operations on slices. The lengths were checked by
// the engine's methods.
func vectorOps(o ops, f *mapFns) ops {
	unary := func(f func(n int, y, x *float32)) func(y, x []float32) {
		return func(y, x []float32) {
			if len(x) > 0 {
				f(len(x), &y[0], &x[0])
			}
		}
	}
	o.exp, o.log, o.toHalf = unary(f.exp), unary(f.log), unary(f.toHalf)
	o.axpy = func(y, x []float32, s float32) {
		if len(x) > 0 {
			f.axpy(len(x), &y[0], &x[0], s)
		}
	}
	o.scale = func(y, x []float32, s, t float32) {
		if len(x) > 0 {
			f.scale(len(x), &y[0], &x[0], s, t)
		}
	}
	binary := func(f func(n int, y, a, b *float32)) func(y, a, b []float32) {
		return func(y, a, b []float32) {
			if len(y) > 0 {
				f(len(y), &y[0], &a[0], &b[0])
			}
		}
	}
	o.mul, o.mulAdd = binary(f.mul), binary(f.mulAdd)
	ternary := func(f func(n int, y, a, b, c *float32)) func(y, a, b, c []float32) {
		return func(y, a, b, c []float32) {
			if len(y) > 0 {
				f(len(y), &y[0], &a[0], &b[0], &c[0])
			}
		}
	}
	o.mulPlus = ternary(f.mulPlus)
	o.reparametrize, o.reparametrizeGrad = ternary(f.reparametrize), ternary(f.reparametrizeGrad)
	o.activate = func(y, x []float32, a Act) {
		switch {
		case a.Kind < Linear || a.Kind > Sigmoid:
			panic("kernel: unknown activation")
		case a.Kind == Linear:
			copy(y, x)
		case len(x) > 0:
			f.act[a.Kind](len(x), &y[0], &x[0], a.Alpha)
		}
	}
	o.activateGrad = func(dx, dy, y []float32, a Act) {
		switch {
		case a.Kind < Linear || a.Kind > Sigmoid:
			panic("kernel: unknown activation")
		case a.Kind == Linear:
			copy(dx, dy)
		case len(dy) > 0:
			f.grad[a.Kind](len(dy), &dx[0], &dy[0], &y[0], a.Alpha)
		}
	}
	o.adam = func(p, g, m, v []float32, s *AdamStep) {
		if len(p) > 0 {
			f.adam(len(p), &p[0], &g[0], &m[0], &v[0], 1-s.Beta1, 1-s.Beta2, s.Eps, s.Rate, s.Decay)
		}
	}
	o.momentum = func(p, g, v []float32, lr, mu float32, nesterov bool) {
		step := f.momentum
		if nesterov {
			step = f.nesterov
		}
		if len(p) > 0 {
			step(len(p), &p[0], &g[0], &v[0], lr, mu)
		}
	}
	o.rmsprop = func(p, g, s []float32, lr, rho, eps float32) {
		if len(p) > 0 {
			f.rmsprop(len(p), &p[0], &g[0], &s[0], lr, rho, 1-rho, eps)
		}
	}
	o.rows(f)
	return o
}

// rows fills in what works along rows, and random numbers.
func (o *ops) rows(f *mapFns) {
	o.softmax = func(y, x []float32, width int) {
		for i := 0; i < len(x); i += width {
			s := f.sumExp(width, &y[i], &x[i], f.maxRow(width, &x[i]))
			f.scale(width, &y[i], &y[i], 1/s, 0)
		}
	}
	o.logSoftmax = func(y, x []float32, width int) {
		for i := 0; i < len(x); i += width {
			top := f.maxRow(width, &x[i])
			s := f.sumExpOnly(width, nil, &x[i], top)
			f.less(width, &y[i], &x[i], top, float32(math.Log(float64(s))))
		}
	}
	o.softmaxGrad = func(dx, dy, y []float32, width int) {
		for i := 0; i < len(y); i += width {
			f.softmaxGrad(width, &dx[i], &dy[i], &y[i], f.dotRow(width, &dy[i], &y[i]))
		}
	}
	o.maxInto = func(y []float32, arg []int32, x []float32, at int) {
		switch {
		case len(x) == 0:
		case arg == nil:
			f.max(len(x), &y[0], &x[0])
		default:
			f.maxArg(len(x), &y[0], &x[0], (*float32)(unsafe.Pointer(&arg[0])), math.Float32frombits(uint32(at)))
		}
	}
	o.sumColumns = func(d, x []float32, ld, rows int) {
		if len(d) > 0 && rows > 0 {
			f.sumColumns(len(d), &d[0], &x[0], 4*ld, rows)
		}
	}
	o.uniform = func(dst *[randomRun]float32, k *Key, block uint64) { f.uniform(&dst[0], &k.Seed, block) }
	o.normal = func(dst *[randomRun]float32, k *Key, block uint64) { f.normal(&dst[0], &k.Seed, block) }
}
