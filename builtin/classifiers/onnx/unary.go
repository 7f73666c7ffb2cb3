package onnx

import (
	"math"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// unary is a function of one number: f(x), and d(x, y) its derivative.
type unary struct {
	f func(x float32) float32
	d func(x, y float32) float32
}

// mapGrain is how many elements are worth a thread.
const mapGrain = 1 << 13

// each applies u to all numbers.
func (r *run) each(v *value, u unary) *value {
	out := r.float(v.shape, v.last)
	r.k.Parallel(len(out.f), mapGrain, func(lo, hi int) {
		for i, x := range v.f[lo:hi] {
			out.f[lo+i] = u.f(x)
		}
	})
	r.record(out, func() {
		r.k.Parallel(len(out.f), mapGrain, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				out.d[i] *= u.d(v.f[i], out.f[i])
			}
		})
		r.pass(v, out.d)
	}, v)
	return out
}

// activate applies one of the kernels' activations.
func (r *run) activate(v *value, a kernel.Act) *value {
	out := r.float(v.shape, v.last)
	r.k.Activate(out.f, v.f, a)
	r.record(out, func() {
		if a.NeedsInput() {
			r.k.ActivateGrad(out.d, out.d, v.f, nil, a)
		} else {
			r.k.ActivateGrad(out.d, out.d, nil, out.f, a)
		}
		r.pass(v, out.d)
	}, v)
	return out
}

// double is a function computed in float64.
func double(f func(x float64) float64, d func(x, y float64) float64) operator {
	return mapped(func(*node) unary { return doubled(f, d) })
}

func doubled(f func(x float64) float64, d func(x, y float64) float64) unary {
	return unary{
		func(x float32) float32 { return float32(f(float64(x))) },
		func(x, y float32) float32 { return float32(d(float64(x), float64(y))) },
	}
}

// mapped is the operator of a function that the attributes make.
func mapped(at func(n *node) unary) operator {
	return func(c *call) []*value { return []*value{c.each(c.x(0), at(c.n))} }
}

// activated is the operator of one of the kernels' activations.
func activated(act func(n *node) kernel.Act) operator {
	return func(c *call) []*value { return []*value{c.activate(c.x(0), act(c.n))} }
}

func plainAct(k kernel.ActKind) operator {
	return activated(func(*node) kernel.Act { return kernel.Act{Kind: k} })
}

// piecewise is a function with slope 0 or a constant nearly everywhere.
func piecewise(f func(x float64) float64, slope float64) operator {
	return double(f, func(float64, float64) float64 { return slope })
}

func unaries() map[string]operator {
	return map[string]operator{
		"Relu":       plainAct(kernel.ReLU),
		"Sigmoid":    plainAct(kernel.Sigmoid),
		"Tanh":       plainAct(kernel.Tanh),
		"Softplus":   plainAct(kernel.Softplus),
		"LeakyRelu":  leakyRelu,
		"Elu":        elu,
		"Selu":       selu,
		"Celu":       mapped(celu),
		"Gelu":       gelu,
		"Erf":        double(math.Erf, func(x, _ float64) float64 { return 2 / math.SqrtPi * math.Exp(-x*x) }),
		"Exp":        double(math.Exp, func(_, y float64) float64 { return y }),
		"Log":        double(math.Log, func(x, _ float64) float64 { return 1 / x }),
		"Sqrt":       double(math.Sqrt, func(_, y float64) float64 { return 0.5 / y }),
		"Reciprocal": double(func(x float64) float64 { return 1 / x }, func(_, y float64) float64 { return -y * y }),
		"Softsign": double(func(x float64) float64 { return x / (1 + math.Abs(x)) },
			func(x, _ float64) float64 { return 1 / ((1 + math.Abs(x)) * (1 + math.Abs(x))) }),
		"Swish":           mapped(swish),
		"Mish":            double(mish, mishSlope),
		"Sin":             double(math.Sin, func(x, _ float64) float64 { return math.Cos(x) }),
		"Cos":             double(math.Cos, func(x, _ float64) float64 { return -math.Sin(x) }),
		"Tan":             double(math.Tan, func(_, y float64) float64 { return 1 + y*y }),
		"Asin":            double(math.Asin, func(x, _ float64) float64 { return 1 / math.Sqrt(1-x*x) }),
		"Acos":            double(math.Acos, func(x, _ float64) float64 { return -1 / math.Sqrt(1-x*x) }),
		"Atan":            double(math.Atan, func(x, _ float64) float64 { return 1 / (1 + x*x) }),
		"Sinh":            double(math.Sinh, func(x, _ float64) float64 { return math.Cosh(x) }),
		"Cosh":            double(math.Cosh, func(x, _ float64) float64 { return math.Sinh(x) }),
		"Asinh":           double(math.Asinh, func(x, _ float64) float64 { return 1 / math.Sqrt(x*x+1) }),
		"Acosh":           double(math.Acosh, func(x, _ float64) float64 { return 1 / math.Sqrt(x*x-1) }),
		"Atanh":           double(math.Atanh, func(x, _ float64) float64 { return 1 / (1 - x*x) }),
		"Floor":           piecewise(math.Floor, 0),
		"Ceil":            piecewise(math.Ceil, 0),
		"Round":           piecewise(math.RoundToEven, 0),
		"HardSigmoid":     mapped(hardSigmoid),
		"HardSwish":       double(hardSwish, hardSwishSlope),
		"ThresholdedRelu": mapped(thresholdedRelu),
		"Shrink":          mapped(shrink),
		"Abs":             signed(func(x float64) float64 { return math.Abs(x) }, func(x, _ float64) float64 { return sign(x) }, func(i int64) int64 { return max(i, -i) }),
		"Neg":             signed(func(x float64) float64 { return -x }, func(float64, float64) float64 { return -1 }, func(i int64) int64 { return -i }),
		"Sign":            signed(sign, func(float64, float64) float64 { return 0 }, func(i int64) int64 { return int64(sign(float64(i))) }),
	}
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// signed is a function of floats or integers.
func signed(f func(x float64) float64, d func(x, y float64) float64, whole func(int64) int64) operator {
	u := doubled(f, d)
	return func(c *call) []*value {
		v := c.any(0)
		if v.kind == float {
			return []*value{c.each(v, u)}
		}
		out := c.like(v, v.shape, false)
		for i, x := range v.i {
			out.i[i] = whole(x)
		}
		return []*value{out}
	}
}

func leakyRelu(c *call) []*value {
	alpha := c.n.float("alpha", 0.01)
	if alpha >= 0 {
		return []*value{c.activate(c.x(0), kernel.Act{Kind: kernel.LeakyReLU, Alpha: alpha})}
	}
	return []*value{c.each(c.x(0), unary{
		func(x float32) float32 { return pick(x >= 0, x, alpha*x) },
		func(x, _ float32) float32 { return pick(x > 0, 1, alpha) },
	})}
}

func elu(c *call) []*value {
	alpha := c.n.float("alpha", 1)
	if alpha >= 0 {
		return []*value{c.activate(c.x(0), kernel.Act{Kind: kernel.ELU, Alpha: alpha})}
	}
	return []*value{c.each(c.x(0), scaledElu(float64(alpha), 1))}
}

// scaledElu is γ·x for x > 0, else γ·α·(eˣ − 1).
func scaledElu(alpha, gamma float64) unary {
	return doubled(
		func(x float64) float64 { return pick(x > 0, gamma*x, gamma*alpha*math.Expm1(x)) },
		func(x, y float64) float64 { return pick(x > 0, gamma, y+gamma*alpha) })
}

func selu(c *call) []*value {
	alpha, gamma := c.n.float("alpha", 1.67326319217681884765625), c.n.float("gamma", 1.05070102214813232421875)
	return []*value{c.each(c.x(0), scaledElu(float64(alpha), float64(gamma)))}
}

func celu(n *node) unary {
	alpha := float64(n.float("alpha", 1))
	return doubled(
		func(x float64) float64 { return pick(x > 0, x, alpha*math.Expm1(x/alpha)) },
		func(x, y float64) float64 { return pick(x > 0, 1, y/alpha+1) })
}

func gelu(c *call) []*value {
	if c.n.text("approximate", "none") == "none" {
		return []*value{c.activate(c.x(0), kernel.Act{Kind: kernel.GELU})}
	}
	const a, b = 0.7978845608028654, 0.044715 // √(2/π)
	return []*value{c.each(c.x(0), doubled(
		func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(a*(x+b*x*x*x))) },
		func(x, _ float64) float64 {
			t := math.Tanh(a * (x + b*x*x*x))
			return 0.5*(1+t) + 0.5*x*(1-t*t)*a*(1+3*b*x*x)
		}))}
}

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func swish(n *node) unary {
	alpha := float64(n.float("alpha", 1))
	return doubled(
		func(x float64) float64 { return x * sigmoid(alpha*x) },
		func(x, y float64) float64 { s := sigmoid(alpha * x); return s + alpha*y*(1-s) })
}

func mish(x float64) float64 { return x * math.Tanh(softplus(x)) }

func mishSlope(x, _ float64) float64 {
	t := math.Tanh(softplus(x))
	return t + x*(1-t*t)*sigmoid(x)
}

func hardSigmoid(n *node) unary {
	a, b := float64(n.float("alpha", 0.2)), float64(n.float("beta", 0.5))
	return doubled(
		func(x float64) float64 { return min(max(a*x+b, 0), 1) },
		func(x, _ float64) float64 { return pick(a*x+b > 0 && a*x+b < 1, a, 0) })
}

func hardSwish(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }

func hardSwishSlope(x, _ float64) float64 {
	switch {
	case x <= -3:
		return 0
	case x >= 3:
		return 1
	}
	return x/3 + 0.5
}

func thresholdedRelu(n *node) unary {
	alpha := n.float("alpha", 1)
	return unary{
		func(x float32) float32 { return pick(x > alpha, x, 0) },
		func(x, _ float32) float32 { return pick[float32](x > alpha, 1, 0) },
	}
}

func shrink(n *node) unary {
	lambda, bias := n.float("lambd", 0.5), n.float("bias", 0)
	return unary{
		func(x float32) float32 { return pick(x < -lambda, x+bias, pick(x > lambda, x-bias, 0)) },
		func(x, _ float32) float32 { return pick[float32](x < -lambda || x > lambda, 1, 0) },
	}
}

func pick[T any](cond bool, a, b T) T {
	if cond {
		return a
	}
	return b
}

// clip bounds numbers, by inputs or, in old opsets, attributes.
func clip(c *call) []*value {
	v := c.any(0)
	if v.kind != float {
		lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
		if c.has(1) {
			lo = c.one(1).i[0]
		}
		if c.has(2) {
			hi = c.one(2).i[0]
		}
		out := c.like(v, v.shape, false)
		for i, x := range v.i {
			out.i[i] = min(max(x, lo), hi)
		}
		return []*value{out}
	}
	lo, hi := c.n.float("min", -math.MaxFloat32), c.n.float("max", math.MaxFloat32)
	if c.has(1) {
		lo = c.one(1).f[0]
	}
	if c.has(2) {
		hi = c.one(2).f[0]
	}
	return []*value{c.each(v, unary{
		func(x float32) float32 { return min(max(x, lo), hi) },
		func(x, _ float32) float32 { return pick[float32](x >= lo && x <= hi, 1, 0) },
	})}
}

// one is an input of one number, of the kind of the first input, that does not
// depend on the model's input.
func (c *call) one(i int) *value {
	v := c.any(i)
	if size(v.shape) != 1 || v.kind != c.any(0).kind || v.diff {
		c.fail("its input %d has shape %v, want one constant number of the type of input 0", i, v.shape)
	}
	return v
}
