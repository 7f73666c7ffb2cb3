package onnx

// compare is the operator of a comparison.
func compare(f func(a, b float32) bool, whole func(a, b int64) bool) operator {
	return func(c *call) []*value {
		a, b := c.plain(c.any(0)), c.plain(c.any(1))
		if (a.kind == float) != (b.kind == float) {
			c.fail("floats and integers are mixed")
		}
		out := c.truths(c.broadcast(a.shape, b.shape))
		spreadOf(out.shape, a.shape, b.shape).each(func(o, i, j, n, sa, sb int) {
			for q := range n {
				if a.kind == float {
					out.i[o+q] = truth(f(a.f[i+q*sa], b.f[j+q*sb]))
				} else {
					out.i[o+q] = truth(whole(a.i[i+q*sa], b.i[j+q*sb]))
				}
			}
		})
		return []*value{out}
	}
}

func logic(f func(a, b bool) bool) operator {
	return compare(func(a, b float32) bool { return f(a != 0, b != 0) }, func(a, b int64) bool { return f(a != 0, b != 0) })
}

func not(c *call) []*value {
	v := c.any(0)
	if v.kind == float {
		c.fail("its input holds floats, want booleans")
	}
	out := c.like(v, v.shape, false)
	for i, x := range v.i {
		out.i[i] = truth(x == 0)
	}
	return []*value{out}
}

// test is a question about each number.
func test(f func(n *node, x float32) bool) operator {
	return func(c *call) []*value {
		v := c.plain(c.x(0))
		out := c.truths(v.shape)
		for i, x := range v.f {
			out.i[i] = truth(f(c.n, x))
		}
		return []*value{out}
	}
}

// where takes from the second input where the first is true, else from the
// third.
func where(c *call) []*value {
	cond, a, b := c.any(0), c.any(1), c.any(2)
	if cond.kind == float || a.kind != b.kind {
		c.fail("its inputs are of the wrong types")
	}
	shape := c.broadcast(c.broadcast(cond.shape, a.shape), b.shape)
	c.mind(shape)
	cond, a, b = c.expanded(cond, shape), c.plain(c.expanded(a, shape)), c.plain(c.expanded(b, shape))
	out := c.like(a, shape, false)
	for i, t := range cond.i {
		from := pick(t != 0, a, b)
		if a.kind == float {
			out.f[i] = from.f[i]
		} else {
			out.i[i] = from.i[i]
		}
	}
	c.record(out, func() {
		for k, v := range []*value{a, b} {
			if !v.diff {
				continue
			}
			d := c.spare(len(out.d))
			for i, t := range cond.i {
				d[i] = pick((t != 0) == (k == 0), out.d[i], 0)
			}
			c.pass(v, d)
		}
	}, a, b)
	return []*value{out}
}
