package onnx

import (
	"math"
	"slices"
)

// pairwise is a function of two numbers, on runs of numbers: an operand's step
// is 1, or 0 where one number serves the whole run. da and db turn dy into the
// gradients at the operands.
type pairwise struct {
	f      func(y, a, b []float32, sa, sb int)
	da, db func(g, dy, a, b []float32, sa, sb int)
	whole  func(c *call, a, b int64) int64
}

// spread walks an output of shape out with operands that are broadcast to it.
type spread struct {
	dims   []int
	sa, sb []int // steps of the operands, 0 where they are broadcast
}

// broadcast is the common shape of two.
func (c *call) broadcast(a, b []int) []int {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		x, y := dimFromEnd(a, len(out)-i), dimFromEnd(b, len(out)-i)
		switch {
		case x == y || y == 1:
			out[i] = x
		case x == 1:
			out[i] = y
		default:
			c.fail("cannot broadcast shapes %v and %v to each other", a, b)
		}
	}
	return out
}

func dimFromEnd(s []int, k int) int {
	if k > len(s) {
		return 1
	}
	return s[len(s)-k]
}

// spreadOf merges dimensions that are walked alike.
func spreadOf(out, a, b []int) spread {
	var s spread
	stepA, stepB := 1, 1
	for k := 1; k <= len(out); k++ { // from the innermost
		d := out[len(out)-k]
		if d == 1 {
			continue
		}
		x, y := stepA, stepB
		if dimFromEnd(a, k) == 1 {
			x = 0
		} else {
			stepA *= d
		}
		if dimFromEnd(b, k) == 1 {
			y = 0
		} else {
			stepB *= d
		}
		if n := len(s.dims) - 1; n >= 0 && x == s.sa[n]*s.dims[n] && y == s.sb[n]*s.dims[n] {
			s.dims[n] *= d
			continue
		}
		s.dims, s.sa, s.sb = append(s.dims, d), append(s.sa, x), append(s.sb, y)
	}
	if len(s.dims) == 0 {
		return spread{[]int{1}, []int{0}, []int{0}}
	}
	return s
}

// each calls f with runs of n outputs at o, and the operands' places and steps.
func (s spread) each(f func(o, a, b, n, sa, sb int)) {
	at := make([]int, len(s.dims))
	o, a, b, n := 0, 0, 0, s.dims[0]
	for _, d := range s.dims {
		if d == 0 {
			return
		}
	}
	for {
		f(o, a, b, n, s.sa[0], s.sb[0])
		o += n
		k := 1
		for ; k < len(at); k++ {
			at[k]++
			a += s.sa[k]
			b += s.sb[k]
			if at[k] < s.dims[k] {
				break
			}
			at[k] = 0
			a -= s.sa[k] * s.dims[k]
			b -= s.sb[k] * s.dims[k]
		}
		if k == len(at) {
			return
		}
	}
}

// pair brings two floats into the same order, so that they can be broadcast.
func (r *run) pair(a, b *value) (*value, *value) {
	rank := max(len(a.shape), len(b.shape))
	if len(a.shape) < rank {
		a = r.plain(a)
	}
	if len(b.shape) < rank {
		b = r.plain(b)
	}
	if !a.last && !b.last {
		return a, b
	}
	return r.channelsLast(r.lead(a, rank)), r.channelsLast(r.lead(b, rank))
}

// lead puts ones before the shape, up to a rank.
func (r *run) lead(v *value, rank int) *value {
	if len(v.shape) >= rank {
		return v
	}
	shape := slices.Repeat([]int{1}, rank)
	copy(shape[rank-len(v.shape):], v.shape)
	return r.view(v, shape)
}

// combine applies p to two floats.
func (c *call) combine(a, b *value, p *pairwise) *value {
	a, b = c.pair(a, b)
	out := c.float(c.broadcast(a.shape, b.shape), a.last)
	s := spreadOf(out.order(), a.order(), b.order())
	apply := func(f func(y, a, b []float32, sa, sb int)) {
		if len(s.dims) == 1 {
			sa, sb := s.sa[0], s.sb[0]
			c.k.Parallel(len(out.f), mapGrain, func(lo, hi int) {
				f(out.f[lo:hi], a.f[lo*sa:], b.f[lo*sb:], sa, sb)
			})
			return
		}
		s.each(func(o, i, j, n, sa, sb int) { f(out.f[o:o+n], a.f[i:], b.f[j:], sa, sb) })
	}
	if size(out.shape) > 0 {
		apply(p.f)
	}
	c.record(out, func() {
		for k, v := range []*value{a, b} {
			if !v.diff {
				continue
			}
			g := c.spare(len(out.d))
			d := pick(k == 0, p.da, p.db)
			s.each(func(o, i, j, n, sa, sb int) { d(g[o:o+n], out.d[o:o+n], a.f[i:], b.f[j:], sa, sb) })
			c.pass(v, c.reduceTo(g, s, k, len(v.f)))
		}
	}, a, b)
	return out
}

// reduceTo sums a gradient of the output over the places that operand k, of n
// numbers, was broadcast to.
func (r *run) reduceTo(g []float32, s spread, k, n int) []float32 {
	if n == len(g) {
		return g
	}
	d := r.spare(n)
	clear(d)
	s.each(func(o, i, j, n, sa, sb int) {
		at, step := i, sa
		if k == 1 {
			at, step = j, sb
		}
		if step == 0 {
			var sum float32
			for _, v := range g[o : o+n] {
				sum += v
			}
			d[at] += sum
			return
		}
		for q, v := range g[o : o+n] {
			d[at+q] += v
		}
	})
	return d
}

// wholes applies f to two tensors of integers.
func (c *call) wholes(a, b *value, f func(c *call, a, b int64) int64) *value {
	if f == nil {
		c.fail("is not supported for integers")
	}
	out := c.like(a, c.broadcast(a.shape, b.shape), false)
	spreadOf(out.shape, a.shape, b.shape).each(func(o, i, j, n, sa, sb int) {
		for q := range n {
			out.i[o+q] = f(c, a.i[i+q*sa], b.i[j+q*sb])
		}
	})
	return out
}

// arithmetic is the operator of two operands, floats or integers.
func arithmetic(p *pairwise) operator {
	return func(c *call) []*value { return []*value{c.two(c.any(0), c.any(1), p)} }
}

func (c *call) two(a, b *value, p *pairwise) *value {
	switch {
	case a.kind == float && b.kind == float:
		return c.combine(a, b, p)
	case a.kind == float || b.kind == float:
		c.fail("floats and integers are mixed")
	}
	return c.wholes(a, b, p.whole)
}

// several is the operator of any number of operands.
func several(p *pairwise, mean bool) operator {
	return func(c *call) []*value {
		out := c.any(0)
		for i := 1; i < len(c.in); i++ {
			out = c.two(out, c.any(i), p)
		}
		if mean && len(c.in) > 1 {
			out = c.each(out, scaling(1/float32(len(c.in))))
		}
		return []*value{out}
	}
}

// scaling multiplies by s.
func scaling(s float32) unary {
	return unary{func(x float32) float32 { return s * x }, func(float32, float32) float32 { return s }}
}

// sides makes a pairwise of functions of single numbers.
func sides(f func(a, b float32) float32, da, db func(dy, a, b float32) float32, whole func(c *call, a, b int64) int64) *pairwise {
	run := func(d func(dy, a, b float32) float32) func(g, dy, a, b []float32, sa, sb int) {
		return func(g, dy, a, b []float32, sa, sb int) {
			for i, v := range dy {
				g[i] = d(v, a[i*sa], b[i*sb])
			}
		}
	}
	return &pairwise{func(y, a, b []float32, sa, sb int) {
		for i := range y {
			y[i] = f(a[i*sa], b[i*sb])
		}
	}, run(da), run(db), whole}
}

func keepDy(g, dy, _, _ []float32, _, _ int) { copy(g, dy) }

func add() *pairwise {
	return &pairwise{func(y, a, b []float32, sa, sb int) {
		for i := range y {
			y[i] = a[i*sa] + b[i*sb]
		}
	}, keepDy, keepDy, func(_ *call, a, b int64) int64 { return a + b }}
}

func sub() *pairwise {
	return &pairwise{func(y, a, b []float32, sa, sb int) {
		for i := range y {
			y[i] = a[i*sa] - b[i*sb]
		}
	}, keepDy, func(g, dy, _, _ []float32, _, _ int) {
		for i, v := range dy {
			g[i] = -v
		}
	}, func(_ *call, a, b int64) int64 { return a - b }}
}

func mul() *pairwise {
	return &pairwise{func(y, a, b []float32, sa, sb int) {
		for i := range y {
			y[i] = a[i*sa] * b[i*sb]
		}
	}, func(g, dy, _, b []float32, _, sb int) {
		for i, v := range dy {
			g[i] = v * b[i*sb]
		}
	}, func(g, dy, a, _ []float32, sa, _ int) {
		for i, v := range dy {
			g[i] = v * a[i*sa]
		}
	}, func(_ *call, a, b int64) int64 { return a * b }}
}

func div() *pairwise {
	return sides(func(a, b float32) float32 { return a / b },
		func(dy, _, b float32) float32 { return dy / b },
		func(dy, a, b float32) float32 { return -dy * a / b / b },
		func(c *call, a, b int64) int64 {
			if b == 0 {
				c.fail("divides an integer by zero")
			}
			return a / b
		})
}

// larger gives the gradient to the larger operand, to the first of equals.
func larger() *pairwise {
	return sides(func(a, b float32) float32 { return max(a, b) },
		func(dy, a, b float32) float32 { return pick(a >= b, dy, 0) },
		func(dy, a, b float32) float32 { return pick(a >= b, 0, dy) },
		func(_ *call, a, b int64) int64 { return max(a, b) })
}

func smaller() *pairwise {
	return sides(func(a, b float32) float32 { return min(a, b) },
		func(dy, a, b float32) float32 { return pick(a <= b, dy, 0) },
		func(dy, a, b float32) float32 { return pick(a <= b, 0, dy) },
		func(_ *call, a, b int64) int64 { return min(a, b) })
}

func prelu() *pairwise {
	return sides(func(x, slope float32) float32 { return pick(x >= 0, x, slope*x) },
		func(dy, x, slope float32) float32 { return pick(x >= 0, dy, slope*dy) },
		func(dy, x, _ float32) float32 { return pick(x >= 0, 0, x*dy) }, nil)
}

func power() *pairwise {
	p := func(a, b float32) float32 { return float32(math.Pow(float64(a), float64(b))) }
	return sides(p,
		func(dy, a, b float32) float32 {
			if b == 0 {
				return 0
			}
			return dy * b * p(a, b-1)
		},
		func(dy, a, b float32) float32 {
			if a == 0 && b >= 0 {
				return 0
			}
			return dy * p(a, b) * float32(math.Log(float64(a)))
		}, nil)
}

// pow takes floats and integers mixed; the result has the base's kind.
func pow(c *call) []*value {
	a, b := c.any(0), c.any(1)
	x, y := c.toFloat(a), c.toFloat(b)
	if !y.diff && size(y.shape) == 1 && y.f[0] == 2 && len(y.shape) <= len(x.shape) {
		y2 := c.each(x, unary{func(x float32) float32 { return x * x }, func(x, _ float32) float32 { return 2 * x }})
		return []*value{c.toKind(y2, a.kind)}
	}
	return []*value{c.toKind(c.combine(x, y, power()), a.kind)}
}

// mod is the remainder: the divisor's sign, or with fmod the dividend's.
func mod(c *call) []*value {
	fmod := c.n.int("fmod", 0) == 1
	return []*value{c.two(c.any(0), c.any(1), sides(
		func(a, b float32) float32 { return float32(math.Mod(float64(a), float64(b))) },
		func(dy, _, _ float32) float32 { return dy },
		func(dy, a, b float32) float32 { return -dy * float32(math.Trunc(float64(a)/float64(b))) },
		func(c *call, a, b int64) int64 {
			if b == 0 {
				c.fail("divides an integer by zero")
			}
			m := a % b
			if !fmod && m != 0 && (m < 0) != (b < 0) {
				m += b
			}
			return m
		}))}
}
