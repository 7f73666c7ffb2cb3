package onnx

import (
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// entry is how rows of the data become the model's input.
type entry struct {
	name  string
	shape []int        // per example, as the model wants it
	wire  tensor.Shape // per example, as it arrives; the same numbers in the same order
	order sdk.Layout
	batch int  // declared batch size; −1: any
	bare  bool // the file has no batch: one example an evaluation

	elem int64   // element type
	read reading // of integers: how rows enter
	why  string  // there is no gradient, or ""
}

// entry settles the shape of the input p, from the file and the data.
func (m *model) entry(p port, layout string, data tensor.Shape) (*entry, error) {
	e := &entry{name: p.name, batch: -1, elem: p.elem}
	switch {
	case p.elem == typeString:
		return nil, fmt.Errorf("input %q is of strings: a detector reads numbers; export the part of the model after its text processing", p.name)
	case p.elem == 0:
		return nil, fmt.Errorf("input %q is not a tensor", p.name)
	case kindOf(p.elem) == opaque:
		return nil, fmt.Errorf("input %q is of element type %d, which is not supported", p.name, p.elem)
	case p.said && len(p.dims) < 1:
		return nil, fmt.Errorf("input %q has no batch dimension", p.name)
	}
	dims := p.dims
	if !p.said { // any shape: that of the data
		if len(data) == 0 {
			return nil, fmt.Errorf("the shape of input %q is not in the file, and there is no data to infer it from; plugin check takes it as --shape", p.name)
		}
		dims = slices.Repeat([]int{-1}, len(data)+1)
	}
	if kindOf(p.elem) != float {
		e.read, e.why = m.reading(p.name)
	}
	e.batch, e.shape = dims[0], slices.Clone(dims[1:])
	if len(dims) == 1 && dims[0] > 0 { // features without a batch
		e.bare, e.batch, e.shape = true, 1, dims
	}
	if len(e.shape) == 0 {
		return nil, fmt.Errorf("input %q has one dimension, which is not fixed: want (N, …)", p.name)
	}
	image := len(e.shape) == 3
	if (layout == "nchw" || layout == "nhwc") && !image {
		return nil, sdk.Diagnostics{{Pointer: "/layout", Message: fmt.Sprintf("is %s, but input %q has %d dimensions per example, want 3", layout, p.name, len(e.shape))}}
	}
	if e.batch > 1<<16 {
		return nil, fmt.Errorf("input %q has a batch of %d, want at most %d", p.name, e.batch, 1<<16)
	}
	e.order = sdk.Flat
	switch {
	case layout == "flat" || !image:
	case layout == "nhwc" || layout != "nchw" && m.channelsLast(p, data):
		e.order = sdk.NHWC
	default:
		e.order = sdk.NCHW
	}
	return e, e.meet(data)
}

// channelsLast guesses an image's order: by the data, else by the operator
// that reads it, else by which end looks like channels.
func (m *model) channelsLast(p port, data tensor.Shape) bool {
	d := p.dims
	if len(d) == 4 && len(data) == 3 {
		last := fits(d[1:], data)
		first := fits(d[1:], []int{data[2], data[0], data[1]})
		if last != first {
			return last
		}
	}
	for _, n := range m.nodes {
		if !slices.Contains(n.in, p.name) {
			continue
		}
		switch n.op {
		case "Conv", "MaxPool", "AveragePool", "BatchNormalization", "GlobalAveragePool":
			return false
		case "Transpose":
			if slices.Equal(n.ints("perm"), []int{0, 3, 1, 2}) {
				return true
			}
		}
	}
	few := func(c int) bool { return c == 1 || c == 3 || c == 4 }
	return len(d) == 4 && few(d[3]) && !few(d[1])
}

// fits reports whether dims, −1 for any, can be shape.
func fits(dims, shape []int) bool {
	if len(dims) != len(shape) {
		return false
	}
	for i, d := range dims {
		if d >= 0 && d != shape[i] {
			return false
		}
	}
	return true
}

// meet fills in what the file leaves open from the data's shape and refuses
// data that do not fit. Flat models take images in the order of the data.
func (e *entry) meet(data tensor.Shape) error {
	want := []int(data)
	if e.order == sdk.NCHW && len(data) == 3 {
		want = []int{data[2], data[0], data[1]}
	}
	switch {
	case len(data) == 0:
		if slices.Min(e.shape) < 1 {
			return fmt.Errorf("input %q has the shape %v: −1 is not fixed in the file, and there is no data to infer it from; plugin check takes it as --shape", e.name, e.shape)
		}
		want = e.shape
	case fits(e.shape, want):
	case e.order == sdk.Flat && fits(e.shape, []int{data.Size()}):
		e.shape, e.wire = []int{data.Size()}, data.Clone()
		if len(data) == 3 {
			e.order = sdk.NHWC
		}
		return nil
	case e.order == sdk.Flat && len(data) == 3 && data[2] == 1 && fits(e.shape, data[:2]):
		e.shape, e.wire, e.order = []int{data[0], data[1]}, data.Clone(), sdk.NHWC
		return nil
	default:
		return sdk.Errorf(sdk.InvalidArgument, "the data has rows of shape %v, the model's input %q wants %v (%v)", data, e.name, e.shape, e.order)
	}
	e.shape = slices.Clone(want)
	e.wire = tensor.Shape(e.shape).Clone()
	if err := e.wire.Valid(1, maxNumbers/max(probeRows, e.batch)); err != nil {
		return fmt.Errorf("input %q: %w", e.name, err)
	}
	return nil
}
