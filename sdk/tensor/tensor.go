// Package tensor is the one data type that crosses every border of vaeguard:
// a dense row-major block of float32 with a shape. It holds no mathematics.
package tensor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Shape lists the length of each dimension, outermost first. The first
// dimension of a batch is the number of examples; an example's own shape
// leaves it out.
type Shape []int

// Size is the number of elements: the product of the dimensions, 1 for a scalar.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same dimensions.
func (s Shape) Equal(t Shape) bool { return slices.Equal(s, t) }

// Clone returns a copy that shares nothing with s.
func (s Shape) Clone() Shape { return slices.Clone(s) }

// String writes a shape as in 28×28×1.
func (s Shape) String() string {
	if len(s) == 0 {
		return "scalar"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = strconv.Itoa(d)
	}
	return strings.Join(parts, "×")
}

// Valid reports an error unless all dimensions are at least lo and the size
// does not exceed max.
func (s Shape) Valid(lo, max int) error {
	n := 1
	for i, d := range s {
		if d < lo {
			return fmt.Errorf("shape %v: dimension %d is %d, want at least %d", s, i, d, lo)
		}
		if d > 0 && n > max/d {
			return fmt.Errorf("shape %v: more than %d elements", s, max)
		}
		n *= d
	}
	return nil
}

// Tensor is a dense array of float32, row-major (C order). The zero Tensor is
// an empty vector. Two tensors may share Data; who may write is said where
// the tensor is handed over.
type Tensor struct {
	Shape Shape
	Data  []float32 // len(Data) == Shape.Size()
}

// New returns a zeroed tensor.
func New(shape ...int) *Tensor {
	s := Shape(slices.Clone(shape))
	return &Tensor{Shape: s, Data: make([]float32, s.Size())}
}

// From wraps data, without a copy. It panics if the length does not fit.
func From(data []float32, shape ...int) *Tensor {
	t := &Tensor{Shape: Shape(slices.Clone(shape)), Data: data}
	if t.Shape.Size() != len(data) {
		panic("tensor: data does not fit the shape")
	}
	return t
}

// Batch returns a zeroed tensor of n examples of the given shape.
func Batch(n int, example Shape) *Tensor {
	return New(append([]int{n}, example...)...)
}

// N is the number of examples: the first dimension, 0 for a tensor without one.
func (t *Tensor) N() int {
	if len(t.Shape) == 0 {
		return 0
	}
	return t.Shape[0]
}

// Example is the shape of one example: all dimensions but the first. It
// shares t's memory and must not be changed.
func (t *Tensor) Example() Shape {
	if len(t.Shape) == 0 {
		return nil
	}
	return t.Shape[1:]
}

// Stride is the number of elements of one example.
func (t *Tensor) Stride() int { return t.Example().Size() }

// Row is example i, sharing t's memory.
func (t *Tensor) Row(i int) []float32 {
	d := t.Stride()
	return t.Data[i*d : (i+1)*d : (i+1)*d]
}

// Rows is the view of the examples lo ≤ i < hi, sharing t's memory.
func (t *Tensor) Rows(lo, hi int) *Tensor {
	d := t.Stride()
	s := t.Shape.Clone()
	s[0] = hi - lo
	return &Tensor{Shape: s, Data: t.Data[lo*d : hi*d : hi*d]}
}

// Gather copies the examples at the given indices into a new tensor.
func (t *Tensor) Gather(rows []int) *Tensor {
	out := Batch(len(rows), t.Example())
	for i, r := range rows {
		copy(out.Row(i), t.Row(r))
	}
	return out
}

// Reshape is a view of the same data under another shape of equal size. It
// panics if the size differs.
func (t *Tensor) Reshape(shape ...int) *Tensor { return From(t.Data, shape...) }

// Clone copies shape and data.
func (t *Tensor) Clone() *Tensor {
	return &Tensor{Shape: t.Shape.Clone(), Data: slices.Clone(t.Data)}
}
