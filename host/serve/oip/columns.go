package oip

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/host/signature"
)

// readColumns are the rows of a table whose columns come as tensors.
func readColumns(door *signature.Door, list []tensors.Tensor) (*dataset.Data, error) {
	r := &named{list: list, n: list[0].N()}
	for _, t := range list {
		if n := int64(t.N()); !slices.Equal(t.Shape, []int64{n}) && !slices.Equal(t.Shape, []int64{n, 1}) {
			return nil, &judge.InputError{Input: t.Name, Err: fmt.Errorf("shape %v, want one value a row: [n] or [n, 1]", t.Shape)}
		}
		if t.N() != r.n {
			return nil, &judge.InputError{Input: t.Name, Err: fmt.Errorf("%d rows, and %s has %d", t.N(), tensors.Quote(list[0].Name), r.n)}
		}
	}
	if r.n == 0 {
		return nil, &judge.InputError{Input: list[0].Name, Err: fmt.Errorf("shape %v has no rows", list[0].Shape)}
	}
	return enter(door, r, "")
}

// named are the records of columns with names.
type named struct {
	list  []tensors.Tensor
	n, at int
	cells []dataset.Cell
}

// Columns implements dataset.Records.
func (r *named) Columns() []dataset.Column {
	out := make([]dataset.Column, len(r.list))
	for i, t := range r.list {
		out[i].Name = t.Name
		if t.Datatype != tensors.Bytes { // of text the cells tell
			out[i].Kind = dataset.CellNumber
		}
	}
	return out
}

// Header implements dataset.Records.
func (r *named) Header() bool { return true }

// Record implements dataset.Records.
func (r *named) Record() ([]dataset.Cell, error) {
	if r.at == r.n {
		return nil, io.EOF
	}
	r.cells = r.cells[:0]
	for _, t := range r.list {
		r.cells = append(r.cells, cell(t, r.at))
	}
	r.at++
	return r.cells, nil
}

// Count implements dataset.Records.
func (r *named) Count() int { return r.n }

// Parts implements dataset.Records.
func (r *named) Parts() []dataset.Part { return nil }

// Close implements dataset.Records.
func (r *named) Close() error { return nil }

// cell is one value of a column, as JSON would have it.
func cell(t tensors.Tensor, i int) dataset.Cell {
	if t.Datatype == tensors.Bytes {
		return dataset.Cell{Kind: dataset.CellText, Text: string(t.Texts[i])}
	}
	c := dataset.Cell{Kind: dataset.CellNumber, Number: t.Float64(i)}
	if t.Datatype == tensors.Bool {
		c.Text = strconv.FormatBool(c.Number != 0)
	}
	if t.Datatype == tensors.FP32 && c.Number == c.Number && !math.IsInf(c.Number, 0) {
		// as the shortest number that is this float32: 0.1, which a category may be called
		if v, err := strconv.ParseFloat(strconv.FormatFloat(c.Number, 'g', -1, 32), 64); err == nil {
			c.Number = v
		}
	}
	return c
}

// texts are the records of one tensor of texts, (n, columns), by position.
type texts struct {
	t     tensors.Tensor
	at    int
	cells []dataset.Cell
}

// Columns implements dataset.Records.
func (r *texts) Columns() []dataset.Column { return make([]dataset.Column, r.t.Shape[1]) }

// Header implements dataset.Records.
func (r *texts) Header() bool { return false }

// Record implements dataset.Records.
func (r *texts) Record() ([]dataset.Cell, error) {
	if r.at == r.Count() {
		return nil, io.EOF
	}
	d := int(r.t.Shape[1])
	r.cells = r.cells[:0]
	for i := range d {
		r.cells = append(r.cells, cell(r.t, r.at*d+i))
	}
	r.at++
	return r.cells, nil
}

// Count implements dataset.Records.
func (r *texts) Count() int { return int(r.t.Shape[0]) }

// Parts implements dataset.Records.
func (r *texts) Parts() []dataset.Part { return nil }

// Close implements dataset.Records.
func (r *texts) Close() error { return nil }
