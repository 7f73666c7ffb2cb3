package onnx

// alongAxis applies f to rows: the given axis or, before opset 13, everything
// from it on.
func alongAxis(f func(c *call, v *value, width int) *value) operator {
	return func(c *call) []*value {
		x := c.plain(c.x(0))
		rank := len(x.shape)
		if c.n.version > 0 && c.n.version < 13 {
			axis := c.n.int("axis", 1)
			if axis < 0 {
				axis += rank
			}
			if axis < 0 || axis > rank {
				c.fail("axis %d of a tensor of %d dimensions", axis, rank)
			}
			return []*value{f(c, x, size(x.shape[axis:]))}
		}
		if rank == 0 {
			c.fail("input has no dimension")
		}
		axis := c.axisOf(c.n.int("axis", -1), rank)
		if axis == rank-1 {
			return []*value{f(c, x, x.shape[axis])}
		}
		perm := count(rank)
		perm[axis], perm[rank-1] = rank-1, axis // its own inverse
		y := f(c, c.permuted(x, perm), x.shape[axis])
		return []*value{c.permuted(y, perm)}
	}
}

func (r *run) softmax(x *value, width int) *value {
	out := r.float(x.shape, false)
	r.k.Softmax(out.f, x.f, width)
	r.record(out, func() {
		r.k.SoftmaxGrad(out.d, out.d, out.f, width)
		r.pass(x, out.d)
	}, x)
	return out
}

func (r *run) logSoftmax(x *value, width int) *value {
	out := r.float(x.shape, false)
	r.k.LogSoftmax(out.f, x.f, width)
	r.record(out, func() { // dx = dy − p·Σdy
		p := r.spare(len(out.f))
		r.k.Exp(p, out.f)
		for i := 0; i < len(p); i += width {
			var s float64
			for _, v := range out.d[i : i+width] {
				s += float64(v)
			}
			for q := i; q < i+width; q++ {
				out.d[q] -= float32(p[q] * float32(s))
			}
		}
		r.pass(x, out.d)
	}, x)
	return out
}

// hardmax is 1 at the first of the largest and 0 elsewhere; it has no gradient.
func hardmax(c *call, x *value, width int) *value {
	out := c.zeros(x.shape)
	for i := 0; i < len(x.f); i += width {
		best := 0
		for q, v := range x.f[i : i+width] {
			if v > x.f[i+best] {
				best = q
			}
		}
		out.f[i+best] = 1
	}
	return out
}
