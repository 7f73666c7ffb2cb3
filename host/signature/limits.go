package signature

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// Limit is what data.columns lets an attack make of one number of a prepared row.
// Integer, Min and Max are about its raw value, which is number·Scale + Offset.
type Limit struct {
	Immutable, Integer bool
	Min, Max           float64 // ±Inf: none
	Scale, Offset      float64
}

// Limits are those of the numbers of a prepared row, and the groups of them of
// which exactly one is raw 1 and the others are 0: categories, and columns that
// are one-hot already. nil where data.columns limits nothing. A step that cannot be
// undone number by number is an error.
func (d *Door) Limits() (limits []Limit, groups [][]int, err error) {
	if d.Kind != KindTable || d.spec.Columns == nil {
		return nil, nil, nil
	}
	c := d.columns()
	named := map[string][]int{} // one_hot groups, by name
	any := false
	for i, f := range d.Features {
		s := c.specs[i]
		l := Limit{Immutable: s.Immutable, Integer: f.Kind == dataset.KindInteger, Min: math.Inf(-1), Max: math.Inf(1), Scale: 1}
		if s.Min != nil {
			l.Min = *s.Min
		}
		if s.Max != nil {
			l.Max = *s.Max
		}
		at := len(limits)
		any = any || l.Immutable || l.Integer || s.Min != nil || s.Max != nil
		for range c.width(i) {
			limits = append(limits, l)
		}
		if n := c.width(i); n > 1 {
			groups, any = append(groups, spanned(at, n)), true
		}
		if s.OneHot != "" {
			named[s.OneHot] = append(named[s.OneHot], at)
			any = true
		}
	}
	if !any {
		return nil, nil, nil
	}
	for _, s := range c.specs { // in the order of the columns
		if g := named[s.OneHot]; len(g) > 0 {
			groups = append(groups, g)
			delete(named, s.OneHot)
		}
	}
	return limits, groups, d.scaleLimits(limits)
}

func spanned(from, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = from + i
	}
	return out
}

// scaleLimits finds how prepared numbers are brought back to raw ones, by three
// rows: of 0, of 1 and of 2.
func (d *Door) scaleLimits(limits []Limit) error {
	var back [3][]float32
	for v := range back {
		row := make([]float32, len(limits))
		for j := range row {
			row[j] = float32(v)
		}
		var err error
		if back[v], err = d.undoNumbers(row); err != nil {
			return err
		}
	}
	for j := range limits {
		zero, one, two := float64(back[0][j]), float64(back[1][j]), float64(back[2][j])
		scale := one - zero
		if math.Abs(two-zero-2*scale) > 1e-4*(math.Abs(scale)+math.Abs(zero)) || scale == 0 || math.IsNaN(scale) || math.IsInf(scale, 0) {
			return fmt.Errorf("data.columns cannot hold attacks to column %d: a step of the preparation does not scale and shift it", j)
		}
		limits[j].Scale, limits[j].Offset = scale, zero
	}
	return nil
}

// undoNumbers undoes the steps after those of the columns.
func (d *Door) undoNumbers(row []float32) ([]float32, error) {
	chain := d.chain
	if len(chain) > 0 && chain[0].key == keyColumns {
		chain = chain[1:]
	}
	in := d.out
	for i := len(chain) - 1; i >= 0; i-- {
		b, err := d.bind(chain[i], in)
		if err != nil {
			return nil, d.place(chain[i].key, err)
		}
		u, ok := b.(Undoable)
		if !ok || b.Out().Size() != len(row) {
			return nil, fmt.Errorf("data.columns cannot hold attacks: step %s cannot be undone", chain[i].key)
		}
		before := make([]float32, len(row))
		u.Undo(before, row)
		row = before
	}
	return row, nil
}
