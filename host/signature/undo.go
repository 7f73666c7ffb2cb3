package signature

import (
	"errors"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Restorable reports whether prepared rows can be brought back to raw ones.
func (d *Door) Restorable() bool {
	_, err := d.undoing()
	return err == nil
}

func (d *Door) undoing() ([]Undoable, error) {
	if len(d.Shape) == 0 || free(d.Shape) {
		return nil, errors.New("raw rows have no one shape")
	}
	g, err := d.gate(d.Shape, false)
	if err != nil {
		return nil, err
	}
	out := make([]Undoable, len(g.steps))
	for i, b := range g.steps {
		u, ok := b.(Undoable)
		if !ok {
			return nil, fmt.Errorf("step %s cannot be undone", g.keys[i])
		}
		out[i] = u
	}
	return out, nil
}

// Undo brings prepared rows back to raw ones, up to rounding. It is an error
// where a step cannot be undone.
func (d *Door) Undo(x *tensor.Tensor) (*tensor.Tensor, error) {
	steps, err := d.undoing()
	if err != nil {
		return nil, err
	}
	out := tensor.Batch(x.N(), d.Shape)
	a, b := make([]float32, d.Shape.Size()), make([]float32, d.Shape.Size())
	for i := range x.N() {
		copy(a, x.Row(i))
		for k := len(steps) - 1; k >= 0; k-- {
			steps[k].Undo(b, a)
			a, b = b, a
		}
		d.whole(a)
		copy(out.Row(i), a)
	}
	return out, nil
}

// whole rounds the features that are whole numbers, 0 and 1 of one-hot columns
// among them.
func (d *Door) whole(row []float32) {
	for i, f := range d.Features {
		if f.Kind == dataset.KindInteger || d.spec.Columns[f.Name].OneHot != "" {
			row[i] = float32(math.Round(float64(row[i])))
		}
	}
}
