package signature

import (
	"iter"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Step is one step of data.prepare, from a row to a row: a component, whose
// fields are its options. It is immutable.
type Step interface {
	// Bind readies the step for rows of a shape. A 0 in it stands for a side, or a
	// number of channels, that each row has its own; a step that cannot take such
	// rows says so. Errors name shapes.
	Bind(in tensor.Shape) (Bound, error)
}

// Bound is a step at work. Its methods may be called concurrently.
type Bound interface {
	// Out is the shape of the rows that it makes, with a 0 wherever that is a
	// row's own.
	Out() tensor.Shape
	// Apply makes row dst of shape Shape(in) from src of shape in, which fits what
	// the step was bound to. It does not change src, and dst is other memory.
	Apply(dst, src []float32, in tensor.Shape) error
}

// Sized is a Bound whose rows out have a shape that depends on those in.
type Sized interface {
	Bound
	// Shape is that of the row out for one in.
	Shape(in tensor.Shape) tensor.Shape
}

// Undoable is a Bound that can be undone, up to rounding.
type Undoable interface {
	Bound
	// Undo makes src, a row in, of dst, a row out.
	Undo(src, dst []float32)
}

// State is what a step learnt from data.train, by name.
type State map[string]*tensor.Tensor

// Fitter is a Step that learns from data.train. Its Bind fails.
type Fitter interface {
	Step
	// Fit learns from rows of shape in, which it may go over several times.
	// indicators are the positions that hold 0 or 1 for a category.
	Fit(in tensor.Shape, indicators []int, rows Rows) (State, error)
	// BindFitted is Bind with what was learnt. A state that does not fit is an
	// error.
	BindFitted(in tensor.Shape, s State) (Bound, error)
}

// Rows are rows in order; each is valid until the next. It can be gone over
// again.
type Rows = iter.Seq[[]float32]

// shapeOut is the shape of what b makes of a row of shape in.
func shapeOut(b Bound, in tensor.Shape) tensor.Shape {
	if s, ok := b.(Sized); ok {
		return s.Shape(in)
	}
	return b.Out()
}

// free reports whether a shape has a side that is each row's own.
func free(s tensor.Shape) bool {
	for _, n := range s {
		if n == 0 {
			return true
		}
	}
	return false
}
