package tensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Parameters are those of a message, a tensor or an output: bool, int64, uint64
// (beyond int64), float64 or string by name. Values of other kinds, which no
// protocol has a meaning for, are left out.
type Parameters map[string]any

// Request is an inference that is asked for.
type Request struct {
	Model, Version string // over REST the path has them
	ID             string
	Parameters     Parameters
	Inputs         []Tensor
	Outputs        []Output // none: all that the model has
}

// Output is one that is asked for.
type Output struct {
	Name       string
	Parameters Parameters
}

// Response is what comes of it.
type Response struct {
	Model, Version string
	ID             string
	Parameters     Parameters
	Outputs        []Tensor
}

// Parameters that have a meaning in the encoding of tensors.
const (
	paramSize    = "binary_data_size"   // of an input, or of an output that came
	paramBinary  = "binary_data"        // of an output that is asked for
	paramOutputs = "binary_data_output" // of a request: what outputs have that do not say
)

// SharedMemory is the parameter of a tensor whose elements are elsewhere, as Triton has it.
const SharedMemory = "shared_memory_region"

// maxParameters is the most of one object over REST.
const maxParameters = 64

// Binary reports whether an output of that name is wanted in binary: the word of
// the output itself, else that of the request, else otherwise.
func (r Request) Binary(name string, otherwise bool) bool {
	if v, ok := r.Parameters[paramOutputs].(bool); ok {
		otherwise = v
	}
	for _, o := range r.Outputs {
		if v, ok := o.Parameters[paramBinary].(bool); ok && o.Name == name {
			return v
		}
	}
	return otherwise
}

// UnmarshalJSON reads an object.
func (p *Parameters) UnmarshalJSON(b []byte) error {
	if n := elements(b); n > maxParameters {
		return fmt.Errorf("%d parameters, want at most %d", n, maxParameters)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	*p = nil
	for name, raw := range m {
		if v := parameter(raw); v != nil {
			if *p == nil {
				*p = Parameters{}
			}
			(*p)[name] = v
		}
	}
	return nil
}

// parameter is a value of one, nil for a list, an object or null.
func parameter(raw []byte) any {
	switch raw[0] {
	case '[', '{', 'n':
		return nil
	case 't', 'f':
		return raw[0] == 't'
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil
		}
		return s
	}
	if v, err := Int64.parseInt(raw); err == nil {
		return int64(v)
	}
	if v, err := Uint64.parseInt(raw); err == nil {
		return v
	}
	v, err := FP64.parseFloat(raw)
	if err != nil {
		return nil
	}
	return v
}

// Int is a whole number among the parameters: of any kind of number, since
// clients differ, but no text. ok says that there is one.
func (p Parameters) Int(name string) (v int64, ok bool, err error) {
	switch x := p[name].(type) {
	case nil:
		return 0, false, nil
	case int64:
		return x, true, nil
	case float64:
		if x == math.Trunc(x) && math.Abs(x) <= 1<<53 {
			return int64(x), true, nil
		}
	}
	return 0, false, fmt.Errorf("parameter %s is %.40v, want a whole number", Quote(name), p[name])
}

// tensorJSON is a tensor of a message over REST.
type tensorJSON struct {
	Name       string          `json:"name"`
	Datatype   Datatype        `json:"datatype"`
	Shape      []int64         `json:"shape"`
	Parameters Parameters      `json:"parameters"`
	Data       json.RawMessage `json:"data"`
}

// outputJSON is an output that is asked for over REST.
type outputJSON struct {
	Name       string     `json:"name"`
	Parameters Parameters `json:"parameters"`
}

// list is a list of JSON of a bounded length: one that is longer is refused before
// memory is claimed for its elements, which are larger here than in JSON.
type list[T any] []T

// UnmarshalJSON reads a list.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	if n := elements(b); n > maxTensors {
		return fmt.Errorf("a list of %d, want at most %d", n, maxTensors)
	}
	return json.Unmarshal(b, (*[]T)(l))
}

// elements is an upper bound of the elements of a list of valid JSON.
func elements(b []byte) int {
	n, depth, text := 1, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 1:
			n++
		}
	}
	return n
}

// take reads the elements of a tensor, and gives what it leaves of the binary
// data.
func (j *tensorJSON) take(raw []byte, l Limits) (Tensor, []byte, error) {
	fail := func(format string, args ...any) (Tensor, []byte, error) {
		return Tensor{}, nil, &Error{j.Name, fmt.Errorf(format, args...)}
	}
	if _, ok := j.Parameters[SharedMemory]; ok {
		return fail("its data is in shared memory, which is not read here")
	}
	if j.Shape == nil {
		return fail("it has no shape")
	}
	if string(j.Data) == "null" {
		j.Data = nil
	}
	var t Tensor
	size, binary, err := j.Parameters.Int(paramSize)
	switch {
	case err != nil:
		return fail("%w", err)
	case !binary:
		t, err = ParseData(j.Name, j.Datatype, j.Shape, j.Data, l)
	case j.Data != nil:
		return fail("it has data and %s; want one of them", paramSize)
	case size < 0 || size > int64(len(raw)):
		return fail("%s is %d, and %d bytes are left", paramSize, size, len(raw))
	default:
		t, err = New(j.Name, j.Datatype, j.Shape, raw[:size:size], l)
		raw = raw[size:]
		delete(j.Parameters, paramSize)
	}
	if len(j.Parameters) > 0 {
		t.Parameters = j.Parameters
	}
	return t, raw, err
}

// takeAll reads the tensors of a message, whose binary data they use up.
func takeAll(list list[tensorJSON], raw []byte, l Limits) ([]Tensor, error) {
	if err := l.tensors(len(list)); err != nil {
		return nil, err
	}
	out := make([]Tensor, len(list))
	var err error
	for i := range list {
		if out[i], raw, err = list[i].take(raw, l); err != nil {
			return nil, err
		}
	}
	if len(raw) > 0 {
		return nil, fmt.Errorf("%d bytes follow the tensors", len(raw))
	}
	return out, nil
}

// ParseRequest reads the body of an inference request over REST. header is the
// length of its JSON, after which binary data follows; −1: all of it.
func ParseRequest(body []byte, header int64, l Limits) (Request, error) {
	var m struct {
		ID         string           `json:"id"`
		Parameters Parameters       `json:"parameters"`
		Inputs     list[tensorJSON] `json:"inputs"`
		Outputs    list[outputJSON] `json:"outputs"`
	}
	raw, err := parseMessage(body, header, &m)
	if err != nil {
		return Request{}, err
	}
	if err := l.tensors(len(m.Outputs)); err != nil {
		return Request{}, err
	}
	r := Request{ID: m.ID, Parameters: m.Parameters}
	for _, o := range m.Outputs {
		r.Outputs = append(r.Outputs, Output(o))
	}
	r.Inputs, err = takeAll(m.Inputs, raw, l)
	return r, err
}

// ParseResponse reads the body of an inference response over REST, as
// ParseRequest reads a request.
func ParseResponse(body []byte, header int64, l Limits) (Response, error) {
	var m struct {
		Model      string           `json:"model_name"`
		Version    string           `json:"model_version"`
		ID         string           `json:"id"`
		Parameters Parameters       `json:"parameters"`
		Outputs    list[tensorJSON] `json:"outputs"`
	}
	raw, err := parseMessage(body, header, &m)
	if err != nil {
		return Response{}, err
	}
	r := Response{Model: m.Model, Version: m.Version, ID: m.ID, Parameters: m.Parameters}
	r.Outputs, err = takeAll(m.Outputs, raw, l)
	return r, err
}

// parseMessage reads the JSON of a message, and gives the bytes after it.
func parseMessage(body []byte, header int64, into any) ([]byte, error) {
	if header < 0 {
		header = int64(len(body))
	}
	if header > int64(len(body)) {
		return nil, fmt.Errorf("the header is to have %d bytes, the body has %d", header, len(body))
	}
	text := body[:header]
	err := json.Unmarshal(text, into)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return body[header:], nil
	case errors.As(err, &kind):
		return nil, fmt.Errorf("%s is a %s", cmpOr(kind.Field, "the message"), kind.Value)
	case bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Infinity")):
		return nil, errors.New("the JSON holds NaN or Infinity, which it has no words for: null stands for a value that is missing, and binary tensors hold any number")
	}
	return nil, fmt.Errorf("the body is no JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return Quote(s)
}
