package kernel

import (
	"fmt"
	"math"
	"testing"
)

// actRef is the activation in float64.
func actRef(x float64, a Act) float64 {
	alpha := float64(a.Alpha)
	switch a.Kind {
	case ReLU:
		return math.Max(x, 0)
	case LeakyReLU:
		if x < 0 {
			return alpha * x
		}
	case ELU:
		if x < 0 {
			return alpha * math.Expm1(x)
		}
	case SELU:
		if x < 0 {
			return seluScale * seluAlpha * math.Expm1(x)
		}
		return seluScale * x
	case GELU:
		return gelu(x)
	case SiLU:
		return silu(x)
	case Softplus:
		return softplus(x)
	case Tanh:
		return math.Tanh(x)
	case Sigmoid:
		return 1 / (1 + math.Exp(-x))
	}
	return x
}

var activations = []Act{{Kind: Linear}, {Kind: ReLU}, {LeakyReLU, .2}, {ELU, 1.5}, {Kind: SELU},
	{Kind: GELU}, {Kind: SiLU}, {Kind: Softplus}, {Kind: Tanh}, {Kind: Sigmoid}}

// lengths have every kind of tail.
var lengths = []int{0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1000}

func TestActivate(t *testing.T) {
	eachEngine(t, func(t *testing.T, e *Engine) {
		r := source(9)
		for _, a := range activations {
			for _, n := range lengths {
				x, dy := randoms(r, n), randoms(r, n)
				want, grad := zeros(n), zeros(n)
				for i := range x {
					x[i] *= 8
					const h = 1e-6
					v := float64(x[i])
					want[i] = actRef(v, a)
					grad[i] = float64(dy[i]) * (actRef(v+h, a) - actRef(v-h, a)) / (2 * h)
				}
				y, dx := make([]float32, n), make([]float32, n)
				e.Activate(y, x, a)
				near(t, "y", y, want, 1e-6)
				e.ActivateGrad(dx, dy, x, y, a)
				near(t, "dx", dx, grad, 3e-6)
			}
		}
	})
}

func TestExtremes(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	x := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, nan, 88.7, 88.8, 1000, -87, -103, -104, -1000,
		1e-40, -1e-40, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1, -1}
	eachEngine(t, func(t *testing.T, e *Engine) {
		check := func(what string, f func(y, x []float32), want func(float64) float64, least float64) {
			y := make([]float32, len(x))
			f(y, x)
			for i, v := range x {
				w := float32(want(float64(v)))
				g := y[i]
				tol := math.Max(math.Abs(float64(w))*3e-7, least)
				if (g != g) != (w != w) || g == g && g != w && !(math.Abs(float64(g)-float64(w)) <= tol) {
					t.Errorf("%s(%g) = %g, want %g", what, v, g, w)
				}
			}
		}
		check("exp", e.Exp, math.Exp, 2*math.SmallestNonzeroFloat32)
		check("log", e.Log, math.Log, 0)
		for _, a := range activations {
			least := 1e-40 // a subnormal factor may have few bits left
			if a.Kind == GELU {
				least = 1e-6
			}
			check(fmt.Sprint("activation ", a.Kind), func(y, x []float32) { e.Activate(y, x, a) }, func(v float64) float64 { return actRef(v, a) }, least)
		}
	})
}

func TestMaps(t *testing.T) {
	eachEngine(t, func(t *testing.T, e *Engine) {
		r := source(10)
		for _, n := range append(lengths, 100_000) {
			a, b, c, y := randoms(r, n), randoms(r, n), randoms(r, n), randoms(r, n)
			w := make([][]float64, 8)
			for i := range w {
				w[i] = zeros(n)
			}
			for i := range n {
				av, bv, cv, yv := float64(a[i]), float64(b[i]), float64(c[i]), float64(y[i])
				w[0][i] = yv + av
				w[1][i] = w[0][i] + .3*bv
				w[2][i] = av * bv
				w[3][i] = 2*av - .5
				w[4][i] = av + math.Exp(.5*bv)*cv
				w[5][i] = av * cv * .5 * math.Exp(.5*bv)
				w[6][i] = math.Exp(av)
				w[7][i] = math.Log(1 + av)
			}
			e.Add(y, a)
			near(t, "Add", y, w[0], 1e-6)
			e.Axpy(y, b, .3)
			near(t, "Axpy", y, w[1], 1e-6)
			e.Mul(y, a, b)
			near(t, "Mul", y, w[2], 1e-6)
			e.Scale(y, a, 2, -.5)
			near(t, "Scale", y, w[3], 1e-6)
			e.Reparametrize(y, a, b, c)
			near(t, "Reparametrize", y, w[4], 1e-6)
			e.ReparametrizeGrad(y, a, b, c)
			near(t, "ReparametrizeGrad", y, w[5], 1e-6)
			e.Exp(y, a)
			near(t, "Exp", y, w[6], 1e-6)
			e.Scale(a, a, 1, 1)
			e.Log(a, a)
			near(t, "Log", a, w[7], 2e-6)
		}
	})
}

func TestSoftmax(t *testing.T) {
	eachEngine(t, func(t *testing.T, e *Engine) {
		r := source(11)
		for _, width := range []int{1, 2, 3, 10, 16, 17, 100, 1000} {
			rows := 1 + 40_000/width/10
			x, dy := randoms(r, rows*width), randoms(r, rows*width)
			soft, logs, grad := zeros(len(x)), zeros(len(x)), zeros(len(x))
			for i := range x {
				x[i] *= 20
			}
			for i := 0; i < len(x); i += width {
				s, d := 0.0, 0.0
				for q := range width {
					s += math.Exp(float64(x[i+q]))
				}
				for q := range width {
					soft[i+q] = math.Exp(float64(x[i+q])) / s
					logs[i+q] = float64(x[i+q]) - math.Log(s)
					d += soft[i+q] * float64(dy[i+q])
				}
				for q := range width {
					grad[i+q] = soft[i+q] * (float64(dy[i+q]) - d)
				}
			}
			y, dx := make([]float32, len(x)), make([]float32, len(x))
			e.Softmax(y, x, width)
			near(t, "Softmax", y, soft, 1e-6)
			e.SoftmaxGrad(dx, dy, y, width)
			near(t, "SoftmaxGrad", dx, grad, 3e-6)
			e.LogSoftmax(x, x, width)
			near(t, "LogSoftmax", x, logs, 1e-6)
		}
	})
}

func TestColumns(t *testing.T) {
	eachEngine(t, func(t *testing.T, e *Engine) {
		r := source(12)
		for _, width := range []int{1, 3, 16, 33, 130, 1000} {
			rows := 1 + 70_000/width
			x, s, o := randoms(r, rows*width), randoms(r, width), randoms(r, width)
			sum, mean, variance, scaled := zeros(width), zeros(width), zeros(width), zeros(len(x))
			for i, v := range x {
				sum[i%width] += float64(v)
				scaled[i] = float64(v)*float64(s[i%width]) + float64(o[i%width])
			}
			for j := range mean {
				mean[j] = sum[j] / float64(rows)
			}
			for i, v := range x {
				d := float64(v) - mean[i%width]
				variance[i%width] += d * d / float64(rows)
			}
			got, got2 := make([]float32, width), make([]float32, width)
			e.ColSum(got, x)
			near(t, "ColSum", got, sum, 10*sumTol(rows))
			e.ColMoments(got, got2, x)
			ref := newEngine(t, Generic, 1)
			gen, gen2 := make([]float32, width), make([]float32, width)
			ref.ColMoments(gen, gen2, x)
			sameBits(t, "mean on every level", got, gen)
			sameBits(t, "variance on every level", got2, gen2)
			near(t, "mean", got, mean, 1e-6)
			near(t, "variance", got2, variance, 1e-6)
			sq := 0.0
			for _, v := range x {
				sq += float64(v) * float64(v)
			}
			if g := e.SumSquares(x); math.Abs(g-sq) > 1e-9*sq {
				t.Errorf("SumSquares = %v, want %v", g, sq)
			} else if r := ref.SumSquares(x); g != r {
				t.Errorf("SumSquares = %v, on the generic level %v", g, r)
			}
			e.ScaleColumns(x, x, s, o)
			near(t, "ScaleColumns", x, scaled, 1e-6)
		}
	})
}
