package onnx

import "slices"

// walk visits a strided view in order: f gets runs of n elements of the view
// at o, which lie at i with a step.
func walk(shape, strides []int, offset int, f func(o, i, n, step int)) {
	if size(shape) == 0 {
		return
	}
	rank := len(shape)
	if rank == 0 {
		f(0, offset, 1, 0)
		return
	}
	at := make([]int, rank)
	o, i, n, step := 0, offset, shape[rank-1], strides[rank-1]
	for {
		f(o, i, n, step)
		o += n
		k := rank - 2
		for ; k >= 0; k-- {
			at[k]++
			i += strides[k]
			if at[k] < shape[k] {
				break
			}
			i -= at[k] * strides[k]
			at[k] = 0
		}
		if k < 0 {
			return
		}
	}
}

// stepsOf are the strides of a contiguous tensor.
func stepsOf(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

func moved[T any](dst, src []T, shape, strides []int, offset int) {
	walk(shape, strides, offset, func(o, i, n, step int) {
		if step == 1 {
			copy(dst[o:o+n], src[i:i+n])
			return
		}
		for q := range n {
			dst[o+q] = src[i+q*step]
		}
	})
}

// strided is a copy of a strided view of v, which is stored plainly.
func (r *run) strided(v *value, shape, strides []int, offset int) *value {
	out := r.like(v, shape, false)
	if v.kind == float {
		moved(out.f, v.f, shape, strides, offset)
	} else {
		moved(out.i, v.i, shape, strides, offset)
	}
	r.record(out, func() {
		d := r.scratch.take(len(v.f))
		clear(d)
		walk(shape, strides, offset, func(o, i, n, step int) {
			for q, g := range out.d[o : o+n] {
				d[i+q*step] += g
			}
		})
		r.pass(v, d)
	}, v)
	return out
}

// permuted has v's dimension perm[i] as dimension i.
func (r *run) permuted(v *value, perm []int) *value {
	if slices.IsSorted(perm) {
		return v
	}
	v = r.plain(v)
	shape, strides := make([]int, len(perm)), make([]int, len(perm))
	steps := stepsOf(v.shape)
	for i, p := range perm {
		shape[i], strides[i] = v.shape[p], steps[p]
	}
	return r.strided(v, shape, strides, 0)
}

// expanded is v broadcast to a shape.
func (r *run) expanded(v *value, shape []int) *value {
	if slices.Equal(v.shape, shape) {
		return v
	}
	v = r.plain(v)
	strides, steps := make([]int, len(shape)), stepsOf(v.shape)
	for i := range shape {
		if k := i - (len(shape) - len(v.shape)); k >= 0 && v.shape[k] != 1 {
			strides[i] = steps[k]
		}
	}
	return r.strided(v, shape, strides, 0)
}

// along cuts v at an axis: n parts outside it, each of len blocks of inner
// numbers, as they are stored.
func (v *value) along(axis int) (outer, length, inner int) {
	o, a := v.order(), v.axis(axis)
	return size(o[:a]), o[a], size(o[a+1:])
}

// with is v's shape with another length of an axis.
func (v *value) with(axis, length int) []int {
	s := slices.Clone(v.shape)
	s[axis] = length
	return s
}

// gather takes the blocks at idx along an axis; −1 is a block of fill.
func (r *run) gather(v *value, axis int, idx []int, fill float32) *value {
	out := r.like(v, v.with(axis, len(idx)), v.last)
	outer, length, inner := v.along(axis)
	if v.kind == float {
		gathered(out.f, v.f, outer, length, inner, idx, fill)
	} else {
		gathered(out.i, v.i, outer, length, inner, idx, int64(fill))
	}
	r.record(out, func() {
		d := r.scratch.take(len(v.f))
		clear(d)
		for o := range outer {
			for k, i := range idx {
				if i < 0 {
					continue
				}
				to, from := d[(o*length+i)*inner:][:inner], out.d[(o*len(idx)+k)*inner:][:inner]
				for q, g := range from {
					to[q] += g
				}
			}
		}
		r.pass(v, d)
	}, v)
	return out
}

func gathered[T any](dst, src []T, outer, length, inner int, idx []int, fill T) {
	for o := range outer {
		for k, i := range idx {
			to := dst[(o*len(idx)+k)*inner:][:inner]
			if i >= 0 {
				copy(to, src[(o*length+i)*inner:][:inner])
				continue
			}
			for q := range to {
				to[q] = fill
			}
		}
	}
}

// part is blocks [from, from+n) along an axis.
func (r *run) part(v *value, axis, from, n int) *value {
	if from == 0 && n == v.shape[axis] {
		return v
	}
	out := r.like(v, v.with(axis, n), v.last)
	outer, length, inner := v.along(axis)
	for o := range outer {
		if v.kind == float {
			copy(out.f[o*n*inner:][:n*inner], v.f[(o*length+from)*inner:])
		} else {
			copy(out.i[o*n*inner:][:n*inner], v.i[(o*length+from)*inner:])
		}
	}
	r.record(out, func() {
		d := r.scratch.take(len(v.f))
		clear(d)
		for o := range outer {
			copy(d[(o*length+from)*inner:][:n*inner], out.d[o*n*inner:][:n*inner])
		}
		r.pass(v, d)
	}, v)
	return out
}

// concat joins tensors along an axis.
func concat(c *call) []*value {
	first := c.any(0)
	axis := c.axisOf(c.n.int("axis", 0), len(first.shape))
	vs := make([]*value, len(c.in))
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
				d := c.scratch.take(len(v.f))
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
		if parts < 1 {
			c.fail("splits into %d parts", parts)
		}
		each := (v.shape[axis] + parts - 1) / parts
		for left := v.shape[axis]; len(sizes) < parts; left -= each {
			sizes = append(sizes, max(0, min(each, left)))
		}
	}
	var out []*value
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
	steps := slices.Repeat([]int{1}, len(starts))
	if c.has(4) {
		steps = c.integers(4)
	}
	if !hasAxes {
		for i := range starts {
			axes = append(axes, i)
		}
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
			for k, to := bound(starts[i], 0, d), bound(ends[i], 0, d); k < to; k += step {
				idx = append(idx, k)
			}
		default:
			for k, to := bound(starts[i], 0, d-1), bound(ends[i], -1, d-1); k > to; k += step {
				idx = append(idx, k)
			}
		}
		v = c.gather(v, a, idx, 0)
	}
	return []*value{v}
}

func transpose(c *call) []*value {
	v := c.any(0)
	perm := c.n.ints("perm")
	if perm == nil {
		for i := range v.shape {
			perm = append(perm, len(v.shape)-1-i)
		}
	}
	if len(perm) != len(v.shape) {
		c.fail("permutes shape %v by %v", v.shape, perm)
	}
	c.axesOf(perm, len(v.shape))
	return []*value{c.permuted(v, perm)}
}

// gatherOp takes blocks along an axis, as an index tensor says.
func gatherOp(c *call) []*value {
	v, at := c.any(0), c.any(1)
	axis := c.axisOf(c.n.int("axis", 0), len(v.shape))
	idx := c.integers(1)
	for i, k := range idx {
		if k < 0 {
			k += v.shape[axis]
		}
		if k < 0 || k >= v.shape[axis] {
			c.fail("index %d of %d", idx[i], v.shape[axis])
		}
		idx[i] = k
	}
	shape := slices.Concat(v.shape[:axis], at.shape, v.shape[axis+1:])
	return []*value{c.view(c.gather(c.plain(v), axis, idx, 0), shape)}
}

// gatherElements takes single numbers: at[…, k, …] along an axis.
func gatherElements(c *call) []*value {
	v, at := c.plain(c.any(0)), c.any(1)
	axis := c.axisOf(c.n.int("axis", 0), len(v.shape))
	if len(at.shape) != len(v.shape) {
		c.fail("indices have shape %v, the data %v", at.shape, v.shape)
	}
	for a, d := range at.shape {
		if a != axis && d > v.shape[a] {
			c.fail("indices have shape %v, the data %v", at.shape, v.shape)
		}
	}
	idx := c.integers(1)
	steps := stepsOf(v.shape)
	from := slices.Clone(steps)
	from[axis] = 0
	flat := make([]int, len(idx))
	walk(at.shape, from, 0, func(o, i, n, step int) {
		for q := range n {
			k := idx[o+q]
			if k < 0 {
				k += v.shape[axis]
			}
			if k < 0 || k >= v.shape[axis] {
				c.fail("index %d of %d", idx[o+q], v.shape[axis])
			}
			flat[o+q] = i + q*step + k*steps[axis]
		}
	})
	return []*value{c.view(c.gather(c.view(v, []int{size(v.shape)}), 0, flat, 0), at.shape)}
}

// tile repeats a tensor along its axes.
func tile(c *call) []*value {
	v := c.any(0)
	reps := c.integers(1)
	if len(reps) != len(v.shape) {
		c.fail("repeats shape %v by %v", v.shape, reps)
	}
	for a, k := range reps {
		if k == 1 {
			continue
		}
		if k < 0 || v.shape[a] > 0 && k > maxNumbers/v.shape[a] {
			c.fail("repeats shape %v by %v", v.shape, reps)
		}
		idx := make([]int, v.shape[a]*k)
		for i := range idx {
			idx[i] = i % v.shape[a]
		}
		v = c.gather(v, a, idx, 0)
	}
	return []*value{v}
}

// pad puts numbers around a tensor: constant, reflect, edge or wrap.
func pad(c *call) []*value {
	v := c.any(0)
	rank := len(v.shape)
	pads, _ := c.list("pads", 1)
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i
	}
	if c.has(3) {
		axes = c.integers(3)
		c.axesOf(axes, rank)
	}
	if len(pads) != 2*len(axes) {
		c.fail("has %d pads for %d axes", len(pads), len(axes))
	}
	fill := c.n.float("value", 0)
	if c.has(2) {
		if f := c.one(2); f.kind == float {
			fill = f.f[0]
		} else {
			fill = float32(f.i[0])
		}
	}
	mode := c.n.text("mode", "constant")
	for i, a := range axes {
		a = c.axisOf(a, rank)
		before, after := pads[i], pads[len(axes)+i]
		if before == 0 && after == 0 {
			continue
		}
		d := v.shape[a]
		if n := d + before + after; before > maxNumbers || after > maxNumbers || n < 0 || n > maxNumbers {
			c.fail("pads dimension %d by %d and %d", d, before, after)
		}
		idx := make([]int, d+before+after)
		for k := range idx {
			idx[k] = padded(k-before, d, mode)
			if idx[k] < -1 || idx[k] < 0 && mode != "constant" {
				c.fail("cannot pad dimension %d by %d and %d in mode %q", d, before, after, mode)
			}
		}
		v = c.gather(v, a, idx, fill)
	}
	return []*value{v}
}

// padded is where place k, which may be outside [0, n), takes its number from.
func padded(k, n int, mode string) int {
	if k >= 0 && k < n {
		return k
	}
	switch mode {
	case "constant":
		return -1
	case "edge":
		return min(max(k, 0), n-1)
	case "wrap":
		if n > 0 {
			return (k%n + n) % n
		}
	case "reflect":
		if n == 1 {
			return 0
		}
		if n > 1 {
			k = (k%(2*n-2) + 2*n - 2) % (2*n - 2)
			return min(k, 2*n-2-k)
		}
	}
	return -2
}
