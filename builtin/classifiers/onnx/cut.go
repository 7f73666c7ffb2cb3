package onnx

import "slices"

// concat joins tensors along an axis.
func concat(c *call) []*value {
	first := c.any(0)
	axis := c.axisOf(c.n.int("axis", 0), len(first.shape))
	vs := fresh[*value](&c.room, len(c.in))
	last, total := true, 0
	for i := range vs {
		v := c.any(i)
		if v.kind != first.kind || len(v.shape) != len(first.shape) || !slices.Equal(v.with(axis, 0), first.with(axis, 0)) {
			c.fail("cannot join shapes %v and %v along axis %d", first.shape, v.shape, axis)
		}
		vs[i] = v
		last = last && v.last
		total += v.shape[axis]
	}
	for i, v := range vs {
		if !last {
			vs[i] = c.plain(v)
		}
	}
	out := c.like(first, first.with(axis, total), last)
	outer, _, inner := out.along(axis)
	at := 0
	for _, v := range vs {
		n, from := v.shape[axis]*inner, at
		for o := range outer {
			if v.kind == float {
				copy(out.f[o*total*inner+from:][:n], v.f[o*n:])
			} else {
				copy(out.i[o*total*inner+from:][:n], v.i[o*n:])
			}
		}
		at += n
	}
	c.record(out, func() {
		at := 0
		for _, v := range vs {
			n := v.shape[axis] * inner
			if v.diff {
				d := c.spare(size(v.shape))
				for o := range outer {
					copy(d[o*n:][:n], out.d[o*total*inner+at:])
				}
				c.pass(v, d)
			}
			at += n
		}
	}, vs...)
	return []*value{out}
}

func split(c *call) []*value {
	v := c.any(0)
	axis := c.axisOf(c.n.int("axis", 0), len(v.shape))
	sizes, ok := c.list("split", 1)
	if !ok { // equal parts, the last may be smaller
		parts := c.n.int("num_outputs", len(c.n.out))
		if parts < 1 || parts > max(1, len(c.n.out)) {
			c.fail("splits into %d parts, and has %d outputs", parts, len(c.n.out))
		}
		each := (v.shape[axis] + parts - 1) / parts
		sizes = fresh[int](&c.room, parts)[:0]
		for left := v.shape[axis]; len(sizes) < parts; left -= each {
			sizes = append(sizes, max(0, min(each, left)))
		}
	}
	out := fresh[*value](&c.room, len(sizes))[:0]
	at := 0
	for _, n := range sizes {
		if n < 0 || at+n > v.shape[axis] {
			c.fail("splits %d into %v", v.shape[axis], sizes)
		}
		out = append(out, c.part(v, axis, at, n))
		at += n
	}
	if at != v.shape[axis] {
		c.fail("splits %d into %v", v.shape[axis], sizes)
	}
	return out
}

func slice(c *call) []*value {
	v := c.any(0)
	starts, _ := c.list("starts", 1)
	ends, _ := c.list("ends", 2)
	axes, hasAxes := c.list("axes", 3)
	if len(starts) > len(v.shape) {
		c.fail("has %d starts for shape %v", len(starts), v.shape)
	}
	steps := slices.Repeat([]int{1}, len(starts))
	if c.has(4) {
		steps = c.integers(4)
	}
	if !hasAxes {
		axes = count(len(starts))
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		c.fail("has %d starts, %d ends, %d axes and %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	c.axesOf(axes, len(v.shape))
	for i, a := range axes {
		a = c.axisOf(a, len(v.shape))
		d, step := v.shape[a], steps[i]
		bound := func(x, lo, hi int) int {
			if x < 0 {
				x += d
			}
			return min(max(x, lo), hi)
		}
		var idx []int
		switch {
		case step == 0:
			c.fail("has a step of 0")
		case step == 1:
			from, to := bound(starts[i], 0, d), bound(ends[i], 0, d)
			v = c.part(v, a, from, max(0, to-from))
			continue
		case step > 0:
			idx = fresh[int](&c.room, d)[:0]
			for k, to := bound(starts[i], 0, d), bound(ends[i], 0, d); k < to; k += step {
				idx = append(idx, k)
			}
		default:
			idx = fresh[int](&c.room, d)[:0]
			for k, to := bound(starts[i], 0, d-1), bound(ends[i], -1, d-1); k > to; k += step {
				idx = append(idx, k)
			}
		}
		v = c.gather(v, a, idx, 0)
	}
	return []*value{v}
}
