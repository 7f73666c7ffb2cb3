package oip

import (
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// nameless is the input's name where neither config nor metadata tell one:
// servers that leave it out take any.
const nameless = "input-0"

// maxRow is the most numbers of one row.
const maxRow = 1 << 26

// plan is how rows of the data become requests.
type plan struct {
	input, dtype, output string
	row                  []int        // per example, as the model takes it
	wire                 tensor.Shape // per example, as it arrives; the same numbers in the same order
	order                sdk.Layout
	batch                int // rows of every request; 0: any number
	most                 int // rows of a request
}

func diagnose(pointer, format string, args ...any) error {
	return sdk.Diagnostics{{Pointer: pointer, Message: fmt.Sprintf(format, args...)}}
}

// plan settles input, output and shapes from config, metadata and data.
func (s *settings) plan(d *description, data tensor.Shape) (*plan, error) {
	in, err := s.inputPort(d.inputs)
	if err != nil {
		return nil, err
	}
	p := &plan{input: in.Name, dtype: in.Datatype}
	switch {
	case p.dtype != "" && p.dtype != typeF32 && p.dtype != typeF64 && p.dtype != typeU8:
		return nil, diagnose("/input", "input %q of the model has the datatype %s, want FP32, FP64 or UINT8", in.Name, p.dtype)
	case p.dtype == "" && s.Type == "auto":
		p.dtype = typeF32
	case p.dtype == "":
		p.dtype = s.Type
	case s.Type != "auto" && s.Type != p.dtype:
		return nil, diagnose("/dtype", "is %s, but input %q of the model takes %s", s.Type, in.Name, p.dtype)
	}
	if p.output, err = s.outputName(d.outputs); err != nil {
		return nil, err
	}
	dims, err := s.dims(in, p, data)
	if err != nil {
		return nil, err
	}
	if p.most, err = s.most(p, d); err != nil {
		return nil, err
	}
	p.order = s.order(dims, data)
	if err := p.meet(dims, data); err != nil {
		return nil, err
	}
	if err := p.wire.Valid(1, maxRow); err != nil {
		return nil, diagnose("/shape", "%v", err)
	}
	return p, nil
}

func (s *settings) inputPort(ports []port) (port, error) {
	i := slices.IndexFunc(ports, func(p port) bool { return p.Name == s.Input })
	switch {
	case len(ports) == 0 && s.Input == "":
		return port{Name: nameless}, nil
	case len(ports) == 0:
		return port{Name: s.Input}, nil
	case s.Input != "" && i < 0:
		return port{}, diagnose("/input", "the model has no input %q, it has %s", s.Input, list(ports))
	case s.Input != "":
		return ports[i], nil
	case len(ports) > 1:
		return port{}, diagnose("/input", "the model has %d inputs, %s: want one; if it runs with one of them alone, name it", len(ports), list(ports))
	}
	return ports[0], nil
}

// outputName is "" where whatever comes is taken.
func (s *settings) outputName(ports []port) (string, error) {
	if s.Output != "" {
		if len(ports) > 0 && !slices.ContainsFunc(ports, func(p port) bool { return p.Name == s.Output }) {
			return "", diagnose("/output", "the model has no output %q, it has %s", s.Output, list(ports))
		}
		return s.Output, nil
	}
	if len(ports) == 0 {
		return "", nil
	}
	i, ok := only(ports)
	if !ok {
		return "", diagnose("/output", "the model has %d outputs, %s: want one; name it", len(ports), list(ports))
	}
	return ports[i].Name, nil
}

// dims are a row's dimensions as far as they are known, −1 for any; and it
// sets the batch.
func (s *settings) dims(in port, p *plan, data tensor.Shape) ([]int, error) {
	var dims []int
	if len(in.Shape) > 0 {
		if b := in.Shape[0]; b > 0 {
			if b > 1<<16 {
				return nil, diagnose("/input", "input %q of the model has a batch of %d, want at most %d", in.Name, b, 1<<16)
			}
			p.batch = int(b)
		}
		for _, n := range in.Shape[1:] {
			if n > maxRow {
				return nil, diagnose("/input", "input %q of the model has the shape %v: too large", in.Name, in.Shape)
			}
			dims = append(dims, int(max(n, -1)))
		}
	}
	switch {
	case s.Shape != nil && dims != nil && !fits(dims, s.Shape):
		return nil, diagnose("/shape", "is %v, but input %q of the model has %v per row", s.Shape, in.Name, dims)
	case s.Shape != nil:
		dims = s.Shape
	case dims == nil && len(data) == 0:
		return nil, diagnose("/shape", "the server does not tell the shape of a row, and there is no data to infer it from")
	case dims == nil:
		dims = slices.Repeat([]int{-1}, len(data))
	}
	if (s.Layout == "nchw" || s.Layout == "nhwc") && len(dims) != 3 {
		return nil, diagnose("/layout", "is %s, but input %q has %d dimensions per row, want 3", s.Layout, in.Name, len(dims))
	}
	return dims, nil
}

// most is how many rows go into a request.
func (s *settings) most(p *plan, d *description) (int, error) {
	const unsaid = 128
	switch {
	case p.batch > 0:
		return p.batch, nil // the model's, whatever the config says
	case d.most > 0 && s.MaxBatch > d.most:
		return 0, diagnose("/max_batch", "is %d, but the model takes at most %d rows per request", s.MaxBatch, d.most)
	case s.MaxBatch > 0:
		return s.MaxBatch, nil
	case d.most > 0:
		return min(unsaid, d.most), nil
	}
	return unsaid, nil
}

// order is the layout of rows of these dimensions: what the config says, or
// what the data fits, or which end looks like channels.
func (s *settings) order(dims []int, data tensor.Shape) sdk.Layout {
	if s.Layout == "flat" || len(dims) != 3 {
		return sdk.Flat
	}
	few := func(c int) bool { return c == 1 || c == 3 || c == 4 }
	last := few(dims[2]) && !few(dims[0])
	if len(data) == 3 {
		if a, b := fits(dims, data), fits(dims, first(data)); a != b {
			last = a
		}
	}
	if s.Layout == "nhwc" || s.Layout == "auto" && last {
		return sdk.NHWC
	}
	return sdk.NCHW
}

// first is an NHWC shape with its channels first.
func first(data tensor.Shape) []int { return []int{data[2], data[0], data[1]} }

// fits reports whether dims, −1 for any, can be shape.
func fits(dims, shape []int) bool {
	return slices.EqualFunc(dims, shape, func(d, n int) bool { return d < 0 || d == n })
}

// meet fills in what dims leave open from the data's shape, and refuses data
// that do not fit. Flat models take images in the order of the data.
func (p *plan) meet(dims []int, data tensor.Shape) error {
	want := []int(data)
	if p.order == sdk.NCHW && len(data) == 3 {
		want = first(data)
	}
	switch {
	case len(data) == 0:
		if slices.Min(dims) < 1 {
			return diagnose("/shape", "a row has the shape %v, where −1 is open, and there is no data to infer it from", dims)
		}
		want = dims
	case fits(dims, want):
	case p.order == sdk.Flat && fits(dims, []int{data.Size()}):
		p.row, p.wire = []int{data.Size()}, data.Clone()
		if len(data) == 3 {
			p.order = sdk.NHWC
		}
		return nil
	case p.order == sdk.Flat && len(data) == 3 && data[2] == 1 && fits(dims, data[:2]):
		p.row, p.wire, p.order = data[:2].Clone(), data.Clone(), sdk.NHWC
		return nil
	default:
		return sdk.Errorf(sdk.InvalidArgument, "the data has rows of shape %v, input %q of the model wants %v (%v)", data, p.input, dims, p.order)
	}
	p.row = slices.Clone(want)
	p.wire = tensor.Shape(p.row).Clone()
	return nil
}
