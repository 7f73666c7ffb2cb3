package onnx

import (
	"fmt"
	"slices"
)

// kind is what a value's numbers are.
type kind int

const (
	opaque  kind = iota // strings and the like: nothing can be done with it
	float               // float32, whatever the file's precision
	integer             // int64, whatever the file's width
	boolean             // 0 or 1
)

// value is a tensor of the graph while it runs. A float may be stored
// channels-last: f is then (N, spatial…, C), the order of the kernels, though
// shape says (N, C, spatial…).
type value struct {
	kind     kind
	shape    []int
	f        []float32
	i        []int64
	last     bool  // stored channels-last
	constant bool  // shared by all runs: never written
	diff     bool  // depends on the input: gradients flow back through it
	elem     int64 // element type of integers, where it matters: how far they reach; 0: int64

	d     []float32 // gradient, in the order of f or i; nil: none yet
	other *value    // the same, stored the other way, once asked for
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// order is the shape as the numbers are stored.
func (v *value) order() []int {
	if !v.last {
		return v.shape
	}
	s := append([]int{v.shape[0]}, v.shape[2:]...)
	return append(s, v.shape[1])
}

// axis is where a dimension of shape is in order.
func (v *value) axis(a int) int {
	switch {
	case !v.last || a == 0:
		return a
	case a == 1:
		return len(v.shape) - 1
	}
	return a - 1
}

// numbers are n numbers of the pass with any content.
func (r *run) numbers(n int) []float32 { return r.results.take(&r.room, n) }

// spare are n numbers of a backward pass with any content.
func (r *run) spare(n int) []float32 { return r.scratch.take(&r.room, n) }

// float is a new value of the run, its numbers unset.
func (r *run) float(shape []int, last bool) *value {
	r.mind(shape)
	r.claim(1, bytesValue)
	r.spend(size(shape), workElement)
	return &value{kind: float, shape: shape, last: last, f: r.numbers(size(shape))}
}

// like is a new value of v's kind, its numbers unset.
func (r *run) like(v *value, shape []int, last bool) *value {
	if v.kind == float {
		return r.float(shape, last)
	}
	return &value{kind: v.kind, shape: shape, elem: v.elem, i: r.longs(shape)}
}

// longs are zeros for a shape.
func (r *run) longs(shape []int) []int64 {
	r.mind(shape)
	r.claim(1, bytesValue)
	r.spend(size(shape), workElement)
	r.results.used += 2 * size(shape)
	return fresh[int64](&r.room, size(shape))
}

// zeros is a new value of floats 0, with numbers of its own.
func (r *run) zeros(shape []int) *value {
	r.mind(shape)
	r.claim(1, bytesValue)
	r.spend(size(shape), workElement)
	r.results.used += size(shape)
	return &value{kind: float, shape: shape, f: fresh[float32](&r.room, size(shape))}
}

// truths are a new value of booleans, its numbers 0.
func (r *run) truths(shape []int) *value {
	return &value{kind: boolean, shape: shape, i: r.longs(shape)}
}

// whole is a new value of integers of an element type, its numbers 0.
func (r *run) whole(elem int64, shape []int) *value {
	return r.like(&value{kind: integer, elem: elem}, shape, false)
}

// mind refuses shapes that are too large.
func (r *run) mind(shape []int) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			panic(fault{text: fmt.Sprintf("gives the shape %v", shape)})
		}
		if n > maxNumbers/max(1, d) { // without the zeros: parts of the shape are multiplied too
			panic(fault{tooLarge: true, text: fmt.Sprintf("gives the shape %v: more than %d elements", shape, maxNumbers)})
		}
		n *= max(1, d)
	}
	if len(shape) > maxRank {
		panic(fault{text: fmt.Sprintf("gives the shape %v: more than %d dimensions", shape, maxRank)})
	}
}

func integers(xs ...int64) *value {
	return &value{kind: integer, shape: []int{len(xs)}, i: xs}
}

// view is v under another shape of the same size.
func (r *run) view(v *value, shape []int) *value {
	if slices.Equal(v.shape, shape) {
		return v
	}
	v = r.plain(v)
	r.mind(shape)
	if size(shape) != size(v.shape) {
		panic(fault{text: fmt.Sprintf("cannot turn shape %v into %v", v.shape, shape)})
	}
	out := &value{kind: v.kind, shape: shape, elem: v.elem, f: v.f, i: v.i, constant: v.constant}
	r.record(out, func() { r.pass(v, out.d) }, v)
	return out
}

// plain is v stored in the order of its shape.
func (r *run) plain(v *value) *value {
	if !v.last {
		return v
	}
	return r.turned(v, false)
}

// channelsLast is v stored channels-last; v is a float of at least three
// dimensions.
func (r *run) channelsLast(v *value) *value {
	if v.last {
		return v
	}
	return r.turned(v, true)
}

// turned is v stored the other way round.
func (r *run) turned(v *value, last bool) *value {
	if v.other != nil {
		return v.other
	}
	n, c, s := v.shape[0], v.shape[1], size(v.shape[2:])
	out := &value{kind: float, shape: v.shape, last: last}
	rows, cols := s, c // of v's images
	if last {
		rows, cols = c, s
	}
	if rows == 1 || cols == 1 {
		out.f = v.f
		r.record(out, func() { r.pass(v, out.d) }, v)
	} else {
		out.f = r.numbers(len(v.f))
		r.transpose(out.f, v.f, n, rows, cols)
		r.record(out, func() {
			d := r.spare(len(out.d))
			r.transpose(d, out.d, n, cols, rows)
			r.pass(v, d)
		}, v)
	}
	if !v.constant {
		v.other = out
		out.other = v
	}
	return out
}

// transpose turns n matrices of rows×cols.
func (r *run) transpose(dst, src []float32, n, rows, cols int) {
	r.k.Parallel(n, 1+(1<<14)/max(1, rows*cols), func(lo, hi int) {
		for q := lo; q < hi; q++ {
			d, s := dst[q*rows*cols:][:rows*cols], src[q*rows*cols:][:rows*cols]
			for i0 := 0; i0 < rows; i0 += 16 {
				for j := range cols {
					for i := i0; i < min(rows, i0+16); i++ {
						d[j*rows+i] = s[i*cols+j]
					}
				}
			}
		}
	})
}
