package oip

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Names of inputs.
const (
	inputRows  = "x"
	inputGiven = "p"
)

// readRows brings the inputs of a request through the detector's door. given is the
// classifier's answer, nil if there is none. Errors are *judge.InputErrors.
func readRows(d *host.Detector, inputs []tensors.Tensor) (rows *dataset.Data, given *tensor.Tensor, err error) {
	door, err := d.Experiment.Door()
	if err != nil {
		return nil, nil, err
	}
	columns := map[string]bool{}
	if door.Named() {
		for _, f := range door.Features {
			columns[f.Name] = true
		}
	}
	var x, p *tensors.Tensor
	var named []tensors.Tensor
	seen := make(map[string]bool, len(inputs))
	for i, t := range inputs {
		if seen[t.Name] {
			return nil, nil, &judge.InputError{Input: t.Name, Err: errors.New("it is there twice")}
		}
		seen[t.Name] = true
		switch {
		case columns[t.Name]:
			named = append(named, t)
		case t.Name == inputGiven:
			p = &inputs[i]
		case t.Name == inputRows:
			x = &inputs[i]
		case door.Named():
			named = append(named, t)
		default:
			return nil, nil, &judge.InputError{Input: t.Name, Err: fmt.Errorf("there is no such input: want %s, and perhaps %s", inputRows, inputGiven)}
		}
	}
	switch {
	case x != nil && len(named) > 0:
		return nil, nil, &judge.InputError{Input: inputRows, Err: errors.New("the rows are there twice, in it and in columns; want one of them")}
	case x == nil && len(named) == 0:
		message := "the input x is missing, which has the rows"
		if door.Named() {
			message = "the columns are missing, one input each, or the input x, which has them in order"
		}
		return nil, nil, &judge.InputError{Err: errors.New(message)}
	case x != nil:
		rows, err = readArray(door, *x)
	default:
		rows, err = readColumns(door, named)
	}
	if err != nil {
		return nil, nil, err
	}
	if p != nil {
		if given, err = readGiven(*p, rows.X.N(), d.Info().NumClasses); err != nil {
			return nil, nil, &judge.InputError{Input: inputGiven, Err: err}
		}
	}
	return rows, given, nil
}

// readGiven is the classifier's answer on n rows.
func readGiven(t tensors.Tensor, n, classes int) (*tensor.Tensor, error) {
	if !t.Datatype.Float() || !slices.Equal(t.Shape, []int64{int64(n), int64(classes)}) {
		return nil, fmt.Errorf("%s %v, want floats of %v", t.Datatype, t.Shape, []int{n, classes})
	}
	p := tensor.From(t.Float32s(), n, classes)
	for i := range n {
		if err := dataset.BadNumber(p.Row(i), func(c int) string { return fmt.Sprintf("row %d: class %d", i, c) }); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// readArray are the rows of one tensor.
func readArray(door *signature.Door, t tensors.Tensor) (*dataset.Data, error) {
	fail := func(err error) (*dataset.Data, error) { return nil, &judge.InputError{Input: t.Name, Err: err} }
	if len(t.Shape) == 0 || t.Shape[0] == 0 {
		return fail(fmt.Errorf("shape %v has no rows", t.Shape))
	}
	if t.Datatype == tensors.Bytes {
		if door.Features == nil || len(t.Shape) != 2 {
			return fail(errors.New("BYTES, want numbers: only a table has texts, in shape [rows, columns]"))
		}
		return enter(door, &texts{t: t}, t.Name)
	}
	example := tensor.Shape{}
	for _, n := range t.Shape[1:] {
		example = append(example, int(n))
	}
	if err := example.Valid(1, dataset.MaxElements); err != nil {
		return fail(err)
	}
	a := &array{t: t, n: int(t.Shape[0]), example: example}
	for _, f := range door.Features {
		a.missing = append(a.missing, f.Missing)
	}
	return prepare(door, a, a.n, t.Name)
}

// enter are the rows of a table.
func enter(door *signature.Door, r dataset.Records, input string) (*dataset.Data, error) {
	t, err := dataset.NewTable(r, "inputs", dataset.ReadOptions{Schema: door.Schema(), Example: door.Raw()})
	if err != nil {
		return nil, &judge.InputError{Input: input, Err: errors.Unwrap(err)}
	}
	return prepare(door, t, r.Count(), input)
}

// prepare brings n rows through the door. input is what errors name.
func prepare(door *signature.Door, r dataset.Reader, n int, input string) (*dataset.Data, error) {
	entered, err := door.Enter(r)
	if err != nil {
		return nil, &judge.InputError{Input: input, Err: err}
	}
	if example := entered.Example().Size(); n > dataset.MaxElements/example {
		return nil, &judge.InputError{Input: input, Err: fmt.Errorf("%d rows of %d numbers are more than %d", n, example, dataset.MaxElements)}
	}
	out := &dataset.Data{X: tensor.Batch(n, entered.Example()), Features: door.Columns(), Index: make([]int, n)}
	for i := range n {
		out.Index[i] = i
		var bad *dataset.RowError
		switch err := entered.Next(out.X.Row(i)); {
		case errors.As(err, &bad):
			return nil, &judge.InputError{Input: input, Err: fmt.Errorf("row %d: %w", i, bad.Err)}
		case err != nil:
			return nil, &judge.InputError{Input: input, Err: fmt.Errorf("row %d: %w", i, err)}
		}
	}
	return out, nil
}

// array reads the rows of a tensor of numbers as a .npy file of its dtype is read.
type array struct {
	t       tensors.Tensor
	n, at   int
	example tensor.Shape
	missing []bool // columns that may be NaN
}

var _ dataset.Imaged = (*array)(nil)

// Example implements dataset.Reader.
func (a *array) Example() tensor.Shape { return a.example }

// Count implements dataset.Reader.
func (a *array) Count() int { return a.n }

// White implements dataset.Imaged.
func (a *array) White() float64 {
	switch a.t.Datatype {
	case tensors.Uint8:
		return 1<<8 - 1
	case tensors.Uint16:
		return 1<<16 - 1
	}
	return 0
}

// Next implements dataset.Reader.
func (a *array) Next(dst []float32) error {
	if a.at == a.n {
		return io.EOF
	}
	start := a.at * len(dst)
	a.at++
	a.t.CopyFloat32s(dst, start)
	for i, v := range dst {
		if v-v != 0 && (v == v || len(a.missing) != len(dst) || !a.missing[i]) {
			err := dataset.BadNumber([]float32{v}, func(int) string { return dataset.Numbered(i) })
			return &dataset.RowError{Source: a.t.Name, Row: a.at - 1, Err: err}
		}
	}
	return nil
}

// Parts implements dataset.Reader: a request is no file.
func (a *array) Parts() []dataset.Part { return nil }

// Close implements dataset.Reader.
func (a *array) Close() error { return nil }
