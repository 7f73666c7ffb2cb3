package tensors

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// FromRequest reads a request over gRPC, of contents or of raw contents.
func FromRequest(m *inference.ModelInferRequest, l Limits) (Request, error) {
	r := Request{Model: m.GetModelName(), Version: m.GetModelVersion(), ID: m.GetId(), Parameters: fromParameters(m.GetParameters())}
	if err := l.tensors(len(m.GetOutputs())); err != nil {
		return Request{}, err
	}
	for _, o := range m.GetOutputs() {
		r.Outputs = append(r.Outputs, Output{Name: o.GetName(), Parameters: fromParameters(o.GetParameters())})
	}
	var err error
	r.Inputs, err = fromMessages(m.GetInputs(), m.GetRawInputContents(), l)
	return r, err
}

// FromResponse reads a response over gRPC.
func FromResponse(m *inference.ModelInferResponse, l Limits) (Response, error) {
	r := Response{Model: m.GetModelName(), Version: m.GetModelVersion(), ID: m.GetId(), Parameters: fromParameters(m.GetParameters())}
	var err error
	r.Outputs, err = fromMessages(m.GetOutputs(), m.GetRawOutputContents(), l)
	return r, err
}

// messageTensor is a tensor of a message over gRPC.
type messageTensor interface {
	GetName() string
	GetDatatype() string
	GetShape() []int64
	GetParameters() map[string]*inference.InferParameter
	GetContents() *inference.InferTensorContents
}

func fromMessages[T messageTensor](list []T, raw [][]byte, l Limits) ([]Tensor, error) {
	if err := l.tensors(len(list)); err != nil {
		return nil, err
	}
	if len(raw) > 0 && len(raw) != len(list) {
		return nil, fmt.Errorf("%d raw contents for %d tensors", len(raw), len(list))
	}
	out := make([]Tensor, len(list))
	for i, m := range list {
		t := Tensor{Name: m.GetName(), Datatype: Datatype(m.GetDatatype()), Shape: m.GetShape(), Parameters: fromParameters(m.GetParameters())}
		n, err := l.check(t.Datatype, t.Shape)
		switch {
		case err != nil:
		case t.Parameters[SharedMemory] != nil:
			err = errors.New("its data is in shared memory, which is not read here")
		case len(raw) > 0 && proto.Size(m.GetContents()) > 0: // MLServer's client sends contents that are empty
			err = errors.New("it has contents and raw contents; want one of them")
		case len(raw) > 0:
			err = t.takeRaw(n, raw[i])
		default:
			err = t.takeContents(n, m.GetContents())
		}
		if err != nil {
			return nil, &Error{t.Name, err}
		}
		out[i] = t
	}
	return out, nil
}

// takeContents reads n elements from the field of contents that is the
// datatype's.
func (t *Tensor) takeContents(n int, c *inference.InferTensorContents) error {
	d := t.Datatype
	fields := []struct {
		of []Datatype
		n  int
	}{
		{[]Datatype{Bool}, len(c.GetBoolContents())},
		{[]Datatype{Int8, Int16, Int32}, len(c.GetIntContents())},
		{[]Datatype{Int64}, len(c.GetInt64Contents())},
		{[]Datatype{Uint8, Uint16, Uint32}, len(c.GetUintContents())},
		{[]Datatype{Uint64}, len(c.GetUint64Contents())},
		{[]Datatype{FP32}, len(c.GetFp32Contents())},
		{[]Datatype{FP64}, len(c.GetFp64Contents())},
		{[]Datatype{Bytes}, len(c.GetBytesContents())},
	}
	if d == FP16 || d == BF16 {
		return fmt.Errorf("%s has no contents of its own: want raw contents", d)
	}
	for _, f := range fields {
		mine := false
		for _, of := range f.of {
			mine = mine || of == d
		}
		if mine && f.n != n {
			return fmt.Errorf("%d elements for %s %v, want %d", f.n, d, t.Shape, n)
		}
		if !mine && f.n > 0 {
			return fmt.Errorf("its contents are of %v, its datatype is %s", f.of, d)
		}
	}
	if d == Bytes {
		t.Texts = c.GetBytesContents()
		return nil
	}
	t.Raw = make([]byte, 0, n*d.Size())
	for _, v := range c.GetBoolContents() {
		b := byte(0)
		if v {
			b = 1
		}
		t.Raw = append(t.Raw, b)
	}
	for i, v := range c.GetIntContents() {
		if bits := 8*d.Size() - 1; int64(v) < -1<<bits || int64(v) >= 1<<bits {
			return fmt.Errorf("element %d is %d: out of the range of %s", i, v, d)
		}
		t.Raw = d.appendInt(t.Raw, uint64(v))
	}
	for i, v := range c.GetUintContents() {
		if uint64(v) >= 1<<(8*d.Size()) {
			return fmt.Errorf("element %d is %d: out of the range of %s", i, v, d)
		}
		t.Raw = d.appendInt(t.Raw, uint64(v))
	}
	for _, v := range c.GetInt64Contents() {
		t.Raw = d.appendInt(t.Raw, uint64(v))
	}
	for _, v := range c.GetUint64Contents() {
		t.Raw = d.appendInt(t.Raw, v)
	}
	for _, v := range c.GetFp32Contents() {
		t.Raw = FP32.appendInt(t.Raw, uint64(math.Float32bits(v)))
	}
	for _, v := range c.GetFp64Contents() {
		t.Raw = FP64.appendInt(t.Raw, math.Float64bits(v))
	}
	return nil
}

func fromParameters(m map[string]*inference.InferParameter) Parameters {
	if len(m) == 0 {
		return nil
	}
	out := make(Parameters, len(m))
	for name, p := range m {
		switch v := p.GetParameterChoice().(type) {
		case *inference.InferParameter_BoolParam:
			out[name] = v.BoolParam
		case *inference.InferParameter_Int64Param:
			out[name] = v.Int64Param
		case *inference.InferParameter_Uint64Param:
			if out[name] = v.Uint64Param; v.Uint64Param <= math.MaxInt64 {
				out[name] = int64(v.Uint64Param)
			}
		case *inference.InferParameter_DoubleParam:
			out[name] = v.DoubleParam
		case *inference.InferParameter_StringParam:
			out[name] = v.StringParam
		}
	}
	return out
}

func (p Parameters) message() map[string]*inference.InferParameter {
	if len(p) == 0 {
		return nil
	}
	out := make(map[string]*inference.InferParameter, len(p))
	for name, v := range p {
		switch v := v.(type) {
		case bool:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_BoolParam{BoolParam: v}}
		case int64:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: v}}
		case uint64:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_Uint64Param{Uint64Param: v}}
		case float64:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_DoubleParam{DoubleParam: v}}
		case string:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_StringParam{StringParam: v}}
		}
	}
	return out
}

// Message is the request over gRPC, of raw contents.
func (r Request) Message() *inference.ModelInferRequest {
	m := &inference.ModelInferRequest{ModelName: r.Model, ModelVersion: r.Version, Id: r.ID, Parameters: r.Parameters.message()}
	for _, t := range r.Inputs {
		m.Inputs = append(m.Inputs, &inference.ModelInferRequest_InferInputTensor{Name: t.Name, Datatype: string(t.Datatype), Shape: t.Shape, Parameters: t.Parameters.message()})
		m.RawInputContents = append(m.RawInputContents, t.rawBytes())
	}
	for _, o := range r.Outputs {
		m.Outputs = append(m.Outputs, &inference.ModelInferRequest_InferRequestedOutputTensor{Name: o.Name, Parameters: o.Parameters.message()})
	}
	return m
}

// Message is the response over gRPC, of raw contents.
func (r Response) Message() *inference.ModelInferResponse {
	m := &inference.ModelInferResponse{ModelName: r.Model, ModelVersion: r.Version, Id: r.ID, Parameters: r.Parameters.message()}
	for _, t := range r.Outputs {
		m.Outputs = append(m.Outputs, &inference.ModelInferResponse_InferOutputTensor{Name: t.Name, Datatype: string(t.Datatype), Shape: t.Shape, Parameters: t.Parameters.message()})
		m.RawOutputContents = append(m.RawOutputContents, t.rawBytes())
	}
	return m
}
