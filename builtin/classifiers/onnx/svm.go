package onnx

import (
	"math"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// machine is a support vector classifier of pairs of classes made ready.
type machine struct {
	classes, pairs int
	weights        *value // (support vectors, pairs)
	offsets        *value // one a pair
}

// svmClassifier answers the label and the scores of all classes: probabilities
// if it was calibrated (Platt's a and b per pair); else, of two classes, the
// decision and its negative, and of more the decisions of all pairs.
func svmClassifier(c *call) []*value {
	a := c.n.attrs
	classes := max(len(a["classlabels_ints"].ints), len(a["classlabels_strings"].strings))
	if len(a["vectors_per_class"].ints) == 0 { // linear scores
		y := c.linear(a["coefficients"].floats, nil)
		if rho := a["rho"].floats; len(rho) > 0 {
			y = c.combine(y, &value{kind: float, shape: []int{1}, f: rho[:1]}, add())
		}
		return []*value{c.labels(y), c.transformed(y)}
	}
	c.n.once.Do(func() { c.lasting(func() { c.n.ready = c.machine(classes) }) })
	m, ok := c.n.ready.(*machine)
	if !ok {
		m = c.machine(classes) // to fail again
	}
	s := c.combine(c.product(c.similar(), m.weights), m.offsets, add())
	platt, b := a["prob_a"].floats, a["prob_b"].floats
	if len(platt) == 0 {
		if classes == 2 {
			s = c.combine(c.expanded(s, []int{s.shape[0], 2}), &value{kind: float, shape: []int{2}, f: []float32{1, -1}}, mul())
		}
		return []*value{{kind: opaque, shape: []int{s.shape[0]}}, c.transformed(s)}
	}
	if len(platt) != m.pairs || len(b) != m.pairs {
		c.fail("has %d and %d numbers of calibration for %d pairs of classes", len(platt), len(b), m.pairs)
	}
	s = c.combine(c.combine(s, &value{kind: float, shape: []int{m.pairs}, f: platt}, mul()), &value{kind: float, shape: []int{m.pairs}, f: b}, add())
	y := c.coupled(s, m.classes)
	return []*value{c.labels(y), c.transformed(y)}
}

// machine reads the attributes. Coefficients are (classes − 1, vectors): the
// row of a vector of class i against class j is j − 1 if j > i, else j.
func (c *call) machine(classes int) *machine {
	a := c.n.attrs
	m := &machine{classes: classes, pairs: classes * (classes - 1) / 2}
	vectors, start := 0, []int{0}
	if len(a["vectors_per_class"].ints) != classes {
		c.fail("has support vectors of %d classes and %d labels", len(a["vectors_per_class"].ints), classes)
	}
	for _, n := range a["vectors_per_class"].ints {
		if n < 0 || n > maxFilled {
			c.fail("has %d support vectors of a class", n)
		}
		vectors += int(n)
		start = append(grown(&c.room, start, 1), vectors)
	}
	coef, rho := a["coefficients"].floats, a["rho"].floats
	if classes < 2 || classes > 1<<10 || len(start) != classes+1 || vectors < 1 || vectors > maxFilled/m.pairs || len(coef) != (classes-1)*vectors || len(rho) != m.pairs || len(a["support_vectors"].floats)%vectors != 0 {
		c.fail("has %d classes, %d support vectors, %d coefficients and %d offsets, which do not fit each other", classes, vectors, len(coef), len(rho))
	}
	m.offsets = &value{kind: float, shape: []int{m.pairs}, f: rho}
	m.weights = &value{kind: float, shape: []int{vectors, m.pairs}, f: fresh[float32](&c.room, vectors*m.pairs)}
	p := 0
	for i := range classes {
		for j := i + 1; j < classes; j++ {
			for v := start[i]; v < start[i+1]; v++ {
				m.weights.f[v*m.pairs+p] = coef[(j-1)*vectors+v]
			}
			for v := start[j]; v < start[j+1]; v++ {
				m.weights.f[v*m.pairs+p] = coef[i*vectors+v]
			}
			p++
		}
	}
	return m
}

// similar are the kernel's values of all rows with all support vectors.
func (c *call) similar() *value {
	vectors := c.n.attrs["support_vectors"].floats
	var params [3]float32
	copy(params[:], c.n.attrs["kernel_params"].floats)
	gamma, offset, degree := float64(params[0]), float64(params[1]), float64(params[2])
	switch k := c.n.text("kernel_type", "LINEAR"); k {
	case "LINEAR":
		return c.linear(vectors, nil)
	case "POLY":
		return c.each(c.linear(vectors, nil), doubled(
			func(x float64) float64 { return math.Pow(gamma*x+offset, degree) },
			func(x, _ float64) float64 {
				return pick(degree == 0, 0, degree*gamma*math.Pow(gamma*x+offset, degree-1))
			}))
	case "SIGMOID":
		return c.each(c.linear(vectors, nil), doubled(
			func(x float64) float64 { return math.Tanh(gamma*x + offset) },
			func(_, y float64) float64 { return gamma * (1 - y*y) }))
	case "RBF":
		return c.radial(vectors, gamma)
	default:
		c.fail("kernel %q is not supported", k)
		return nil
	}
}

// radial is exp(−γ·|x − v|²) of all rows x and vectors v.
func (c *call) radial(vectors []float32, gamma float64) *value {
	x := c.plain(c.toFloat(c.any(0)))
	if len(x.shape) == 1 {
		x = c.view(x, []int{1, x.shape[0]})
	}
	if len(x.shape) != 2 || x.shape[1] < 1 || len(vectors)%x.shape[1] != 0 {
		c.fail("has %d numbers of support vectors for an input of shape %v", len(vectors), x.shape)
	}
	n, k, m := x.shape[0], x.shape[1], len(vectors)/x.shape[1]
	out := c.float([]int{n, m}, false)
	c.spend(n, m, k)
	c.k.Parallel(n, 1+mapGrain/max(1, m*k), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for q := range m {
				sum := 0.0
				for j, v := range vectors[q*k : q*k+k] {
					d := float64(x.f[i*k+j]) - float64(v)
					sum += d * d
				}
				out.f[i*m+q] = float32(math.Exp(-gamma * sum))
			}
		}
	})
	c.record(out, func() { // dx = Σ_v −2γ·dy_v·y_v·(x − v)
		d, share := c.spare(len(x.f)), c.spare(len(out.f))
		for i, y := range out.f {
			share[i] = float32(2 * gamma * float64(y) * float64(out.d[i]))
		}
		c.gemm(d, k, kernel.Dense(share, n, m), kernel.Dense(vectors, m, k), kernel.Epilogue{})
		for i := range n {
			sum := 0.0
			for _, v := range share[i*m : i*m+m] {
				sum += float64(v)
			}
			for j := range k {
				d[i*k+j] -= float32(sum * float64(x.f[i*k+j]))
			}
		}
		c.pass(x, d)
	}, x)
	return out
}
