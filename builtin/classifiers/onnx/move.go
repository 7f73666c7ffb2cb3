package onnx

import "slices"

// count is 0, 1, …, n−1: axes.
func count(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

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
		d := r.spare(size(v.shape))
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
		d := r.spare(size(v.shape))
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
		d := r.spare(size(v.shape))
		clear(d)
		for o := range outer {
			copy(d[(o*length+from)*inner:][:n*inner], out.d[o*n*inner:][:n*inner])
		}
		r.pass(v, d)
	}, v)
	return out
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
	flat := fresh[int](&c.room, len(idx))
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
		idx := fresh[int](&c.room, v.shape[a]*k)
		for i := range idx {
			idx[i] = i % v.shape[a]
		}
		v = c.gather(v, a, idx, 0)
	}
	return []*value{v}
}
