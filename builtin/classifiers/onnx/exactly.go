package onnx

import "math"

// wholeFloats is how far float32 holds every integer.
const wholeFloats = 1 << 24

// centred are the integers of x less their zero point, as floats: one for all,
// or one for each place of an axis.
func (c *call) centred(x *value, zero, axis int) *value {
	if x.kind == float {
		c.fail("its input holds floats, want integers")
	}
	if lo, hi := limits(x.elem); hi > math.MaxUint16 || lo < math.MinInt16 {
		c.fail("its input is of element type %d, want integers of at most 16 bits", x.elem)
	}
	y := c.toFloat(x)
	if !c.has(zero) {
		return y
	}
	z := c.any(zero)
	if z.kind != integer || z.diff {
		c.fail("its zero point, input %d, is not of constant integers", zero)
	}
	if axis < 0 {
		axis += len(x.shape)
	}
	if len(z.i) != 1 && (axis < 0 || axis >= len(x.shape) || len(z.i) != x.shape[axis]) {
		c.fail("its zero point, input %d, has %d numbers for shape %v", zero, len(z.i), x.shape)
	}
	f := fresh[float32](&c.room, len(z.i))
	for i, v := range z.i {
		f[i] = float32(v)
	}
	shape := []int{len(f)}
	if len(f) > 1 {
		for range len(x.shape) - 1 - axis {
			shape = append(shape, 1)
		}
	}
	return c.combine(y, &value{kind: float, shape: shape, f: f}, sub())
}

// exactly computes f, sums of x's whole numbers times whole weights whose
// magnitudes add up to at most reach, as int32 and without a rounding: in
// floats that hold every integer there is, x in as few digits as that takes.
func (c *call) exactly(x *value, reach float64, f func(x *value) *value) *value {
	y := c.plain(f(x))
	out := c.whole(typeInt32, y.shape)
	top := 0.0
	for _, v := range x.f {
		top = max(top, math.Abs(float64(v)))
	}
	if top*reach <= wholeFloats {
		for i, v := range y.f {
			out.i[i] = int64(v)
		}
	} else {
		bits := int(math.Log2(wholeFloats / max(1, reach)))
		if bits < 1 {
			c.fail("adds up products of %v: more than can be done exactly", reach)
		}
		keep := c.keep
		c.keep = false
		c.digits(out, x, bits, f)
		c.keep = keep
	}
	for i, v := range out.i {
		out.i[i] = wrapped(v, typeInt32)
	}
	c.record(out, func() { c.pass(y, out.d) }, y)
	return out
}

// digits adds f of x to out, bits of x at a time.
func (c *call) digits(out, x *value, bits int, f func(x *value) *value) {
	rest := fresh[int32](&c.room, len(x.f))
	c.results.used += len(rest)
	for i, v := range x.f {
		rest[i] = int32(v)
	}
	for shift, more := 0, true; more; shift += bits {
		part := c.float(x.shape, x.last)
		more = false
		for i, v := range rest {
			low := v & (1<<bits - 1)
			part.f[i], rest[i] = float32(low), v>>bits
			more = more || rest[i] != 0 && rest[i] != -1
		}
		if !more { // −1 is all sign
			for i, v := range rest {
				if v != 0 {
					part.f[i] -= float32(int32(1) << bits)
				}
			}
		}
		for i, v := range c.plain(f(part)).f {
			out.i[i] += int64(v) << shift
		}
	}
}

// reachOf is the largest sum of magnitudes over rows of n whole weights.
func reachOf(w []float32, n int) float64 {
	most := 0.0
	for i := 0; i+n <= len(w) && n > 0; i += n {
		sum := 0.0
		for _, v := range w[i : i+n] {
			sum += math.Abs(float64(v))
		}
		most = max(most, sum)
	}
	return most
}

// columnReach is reachOf for matrices (…, K, N) that are multiplied from the
// right.
func (c *call) columnReach(b *value) float64 {
	k, n := 1, 1
	if r := len(b.shape); r > 1 {
		k, n = b.shape[r-2], b.shape[r-1]
	} else if r == 1 {
		k = b.shape[0]
	}
	most, sums := 0.0, fresh[float64](&c.room, n)
	for i := 0; i < len(b.f) && k*n > 0; i += n {
		if i%(k*n) == 0 {
			clear(sums)
		}
		for q, v := range b.f[i : i+n] {
			sums[q] += math.Abs(float64(v))
			most = max(most, sums[q])
		}
	}
	return most
}

// requantized puts sums onto a grid of one scale: each is worth factor, one
// number or one for each place of an axis.
func (c *call) requantized(sums *value, factor []float32, axis int, g grid) *value {
	if len(g.scale) != 1 {
		c.fail("has %d scales for its output, want one", len(g.scale))
	}
	d, inner := 1, size(sums.shape)
	if len(factor) > 1 {
		axis = c.axisOf(axis, len(sums.shape))
		d, inner = sums.shape[axis], size(sums.shape[axis+1:])
	}
	if len(factor) != d {
		c.fail("has %d scales for shape %v", len(factor), sums.shape)
	}
	lo, hi := limits(g.elem)
	zero := g.zeroAt(0)
	low, high := float32(lo-zero), float32(hi-zero)
	at := func(i int) float32 { return pick(d == 1, factor[0], factor[i/max(1, inner)%d]) }
	out := c.whole(g.elem, sums.shape)
	for i, v := range sums.i {
		out.i[i] = int64(math.RoundToEven(float64(min(max(float32(v)*at(i), low), high)))) + zero
	}
	c.estimates(sums)
	c.record(out, func() {
		for i, v := range sums.i {
			r := float32(v) * at(i)
			out.d[i] = pick(r >= low-0.5 && r <= high+0.5, out.d[i]*at(i), 0)
		}
		c.pass(sums, out.d)
	}, sums)
	return out
}

// factors are what a sum of products on two grids is worth, in steps of a
// third.
func (c *call) factors(a, b, y []float32) []float32 {
	if len(a) == 0 || len(b) == 0 || y != nil && len(y) != 1 {
		c.fail("has scales of %d, %d and %d numbers", len(a), len(b), len(y))
	}
	out := fresh[float32](&c.room, max(len(a), len(b)))
	for i := range out {
		out[i] = a[min(i, len(a)-1)] * b[min(i, len(b)-1)]
		if y != nil {
			out[i] /= y[0]
		}
		if !isFinite(out[i]) {
			c.fail("has scales that are worth %v at place %d: want finite", out[i], i)
		}
	}
	return out
}
