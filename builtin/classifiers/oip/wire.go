package oip

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The datatypes of the protocol that have a meaning here.
const (
	typeF32 = "FP32"
	typeF64 = "FP64"
	typeU8  = "UINT8"
)

// maxColumns is the most numbers that a row's answer may have.
const maxColumns = 1 << 20

// transport speaks the protocol with a server, one try a call.
type transport interface {
	describe(ctx context.Context, c *caller) (*description, error)
	infer(ctx context.Context, q *query) (*answer, *fault)
	close()
}

// description is what a server says of a model.
type description struct {
	ready           bool
	binary          bool // the server announces binary tensors over REST
	most            int  // rows of a request, as the model's configuration says; 0: it does not say
	versions        []string
	inputs, outputs []port
}

// port is an input or output in the metadata.
type port struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"` // −1: any
}

func (p port) String() string { return fmt.Sprintf("%s (%s %v)", p.Name, p.Datatype, p.Shape) }

// query is one inference request.
type query struct {
	input, dtype string
	shape        []int
	data         []float32
	output       string // "": whatever comes
	columns      int    // of the answer; 0: not known yet
}

func (q *query) rows() int { return q.shape[0] }

// answer is one output of a response.
type answer struct {
	name    string
	columns int
	values  []float32 // (rows, columns), finite
}

// message is the request, with the tensor in the datatype that the model takes. Its
// model and version are the transport's.
func (q *query) message() (tensors.Request, *fault) {
	shape := make([]int64, len(q.shape))
	for i, d := range q.shape {
		shape[i] = int64(d)
	}
	t, err := tensors.FromFloats(q.input, tensors.Datatype(q.dtype), shape, q.data)
	if err != nil {
		return tensors.Request{}, faultf(sdk.InvalidArgument, "%v", err)
	}
	r := tensors.Request{Inputs: []tensors.Tensor{t}}
	if q.output != "" {
		r.Outputs = []tensors.Output{{Name: q.output}}
	}
	return r, nil
}

// whole makes the numbers fit UINT8, exactly or by rounding (half to even).
func whole(x *tensor.Tensor, nearest bool) ([]float32, error) {
	out := make([]float32, len(x.Data))
	for i, v := range x.Data {
		w := float32(math.RoundToEven(float64(v)))
		if nearest {
			w = min(max(w, 0), 255)
		} else if w != v || w < 0 || w > 255 {
			return nil, sdk.Errorf(sdk.InvalidArgument, "row %d, feature %d is %v: the model takes UINT8, whole numbers from 0 to 255; rounding: nearest rounds", i/x.Stride(), i%x.Stride(), v)
		}
		out[i] = w
	}
	return out, nil
}

// choose is the index of the output that q wants among those that came.
func (q *query) choose(came []port) (int, *fault) {
	if q.output != "" {
		if i := slices.IndexFunc(came, func(p port) bool { return p.Name == q.output }); i >= 0 {
			return i, nil
		}
		return 0, faultf(sdk.Internal, "output %q: it is not in the answer, which has %s", q.output, list(came))
	}
	if i, ok := only(came); ok {
		return i, nil
	}
	return 0, faultf(sdk.Internal, "the answer has %d outputs, %s: want one; name it under output", len(came), list(came))
}

// only is the only port, or the only one of floats.
func only(ports []port) (int, bool) {
	if len(ports) == 1 {
		return 0, true
	}
	found, ok := 0, false
	for i, p := range ports {
		if p.Datatype == typeF32 || p.Datatype == typeF64 {
			if ok {
				return 0, false
			}
			found, ok = i, true
		}
	}
	return found, ok
}

func list(ports []port) string {
	if len(ports) == 0 {
		return "none"
	}
	var names []string
	for _, p := range ports {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}

// accept checks datatype and shape of an output, before anything is read from
// it: (N, K), (N), or (N, K) among ones. It gives K.
func (q *query) accept(p port) (int, *fault) {
	if p.Datatype != typeF32 && p.Datatype != typeF64 {
		return 0, faultf(sdk.Internal, "output %q: its datatype is %q, want FP32 or FP64", p.Name, p.Datatype)
	}
	want := fmt.Sprintf("%d×K", q.rows())
	if q.columns > 0 {
		want = fmt.Sprintf("%d×%d", q.rows(), q.columns)
	}
	bad := faultf(sdk.Internal, "output %q: its shape is %v, want %s", p.Name, p.Shape, want)
	if len(p.Shape) == 0 || p.Shape[0] != int64(q.rows()) {
		return 0, bad
	}
	columns := int64(1)
	for _, d := range p.Shape[1:] {
		if d < 1 || d > maxColumns || d > 1 && columns > 1 {
			return 0, bad
		}
		columns *= d
	}
	if q.columns > 0 && columns != int64(q.columns) {
		return 0, bad
	}
	return int(columns), nil
}

// finite checks the numbers of an answer.
func (a *answer) finite() *fault {
	for i, v := range a.values {
		if v-v != 0 {
			return faultf(sdk.Internal, "output %q: row %d, column %d is %v, want a finite number", a.name, i/a.columns, i%a.columns, v)
		}
	}
	return nil
}

// raw reads an output's raw bytes.
func (q *query) raw(p port, b []byte) (*answer, *fault) {
	columns, f := q.accept(p)
	if f != nil {
		return nil, f
	}
	size := 4
	if p.Datatype == typeF64 {
		size = 8
	}
	if want := q.rows() * columns * size; len(b) != want {
		return nil, faultf(sdk.Internal, "output %q: %d bytes for %s %v, want %d", p.Name, len(b), p.Datatype, p.Shape, want)
	}
	a := &answer{name: p.Name, columns: columns, values: make([]float32, len(b)/size)}
	for i := range a.values {
		if size == 8 {
			a.values[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		} else {
			a.values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return a, a.finite()
}

// numbers reads an output's data from JSON: a list of numbers, flat or nested.
func (q *query) numbers(p port, text []byte) (*answer, *fault) {
	columns, f := q.accept(p)
	if f != nil {
		return nil, f
	}
	want, bits := q.rows()*columns, 32
	if p.Datatype == typeF64 {
		bits = 64
	}
	if want > len(text) {
		return nil, faultf(sdk.Internal, "output %q: %d bytes of data for %s %v", p.Name, len(text), p.Datatype, p.Shape)
	}
	a := &answer{name: p.Name, columns: columns, values: make([]float32, 0, want)}
	separator := func(b byte) bool {
		return b == '[' || b == ']' || b == ',' || b == ' ' || b == '\n' || b == '\t' || b == '\r'
	}
	got := 0
	for i := 0; i < len(text); {
		if separator(text[i]) {
			i++
			continue
		}
		end := i
		for end < len(text) && !separator(text[end]) {
			end++
		}
		word := string(text[i:end])
		i = end
		v, err := strconv.ParseFloat(word, bits)
		switch {
		case word == "null", err != nil && v-v != 0, err == nil && v-v != 0:
			return nil, faultf(sdk.Internal, "output %q: row %d, column %d is %s, want a finite number", p.Name, got/columns, got%columns, printable(word))
		case err != nil:
			return nil, faultf(sdk.Internal, "output %q: %s, want numbers", p.Name, printable(word))
		}
		if got++; got <= want {
			a.values = append(a.values, float32(v))
		}
	}
	if got != want {
		return nil, faultf(sdk.Internal, "output %q: %d numbers for %s %v, want %d", p.Name, got, p.Datatype, p.Shape, want)
	}
	return a, a.finite()
}
