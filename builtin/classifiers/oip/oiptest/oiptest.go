// Package oiptest serves any sdk.Classifier by the Open Inference Protocol,
// version 2, over REST (with binary tensors) and gRPC: a model server for tests
// and examples. It trusts its clients more than a server in the open may.
package oiptest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// maxBody is the largest request that is read, in bytes.
const maxBody = 64 << 20

const lengthHeader = "Inference-Header-Content-Length"

// Model is a classifier on a server. The fields must not change once it serves.
type Model struct {
	Name       string // "": model
	Classifier sdk.Classifier
	Input      string // name of the input; "": x
	Output     string // name of the output; "": scores
	Version    string // the only one; "": 1
	NoBinary   bool   // REST takes and gives JSON alone
	Datatype   string // of input and output: FP32 or FP64; "": FP32
	Batch      int    // rows that every request must have; 0: any number
	Most       int    // rows that a request may have, which the model's configuration says as Triton's does; 0: any number, and there is none

	requests atomic.Int64
	rows     atomic.Int64
}

// Requests is the number of inferences that were asked for, and Rows that of
// the rows in them.
func (m *Model) Requests() int64 { return m.requests.Load() }

// Rows is the number of rows that were asked for.
func (m *Model) Rows() int64 { return m.rows.Load() }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (m *Model) name() string     { return or(m.Name, "model") }
func (m *Model) input() string    { return or(m.Input, "x") }
func (m *Model) output() string   { return or(m.Output, "scores") }
func (m *Model) version() string  { return or(m.Version, "1") }
func (m *Model) datatype() string { return or(m.Datatype, "FP32") }

// size is the number of bytes of one number.
func (m *Model) size() int {
	if m.datatype() == "FP64" {
		return 8
	}
	return 4
}

// port is a tensor in JSON.
type port struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int64        `json:"shape"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       []float64      `json:"data,omitempty"`
}

// ports are the model's input and output.
func (m *Model) ports(ctx context.Context) (in, out port, err error) {
	info, err := m.Classifier.Info(ctx)
	if err != nil {
		return in, out, err
	}
	batch := int64(-1)
	if m.Batch > 0 {
		batch = int64(m.Batch)
	}
	in = port{Name: m.input(), Datatype: m.datatype(), Shape: []int64{batch}}
	for _, d := range info.InputShape {
		in.Shape = append(in.Shape, int64(d))
	}
	return in, port{Name: m.output(), Datatype: m.datatype(), Shape: []int64{batch, int64(info.NumClasses)}}, nil
}

// errUnknown says that a request is about something else.
var errUnknown = errors.New("unknown model, version or tensor")

// predict answers rows.
func (m *Model) predict(ctx context.Context, name, datatype string, shape []int64, values []float32) (*tensor.Tensor, error) {
	m.requests.Add(1)
	in, _, err := m.ports(ctx)
	if err != nil {
		return nil, err
	}
	if name != in.Name {
		return nil, fmt.Errorf("%w: input %q", errUnknown, name)
	}
	ok := datatype == in.Datatype && len(shape) == len(in.Shape) && shape[0] >= 1 && (m.Batch == 0 || shape[0] == int64(m.Batch)) && (m.Most == 0 || shape[0] <= int64(m.Most))
	x := tensor.Shape{}
	for i, d := range shape {
		ok = ok && (i == 0 || d == in.Shape[i])
		x = append(x, int(d))
	}
	if !ok || x.Valid(1, maxBody) != nil || x.Size() != len(values) {
		return nil, fmt.Errorf("input %q: %s %v with %d numbers, want %s %v", name, datatype, shape, len(values), in.Datatype, in.Shape)
	}
	m.rows.Add(shape[0])
	return m.Classifier.Predict(ctx, tensor.From(values, x...))
}

// decode and encode are the protocol's raw bytes.
func (m *Model) decode(b []byte) []float32 {
	out := make([]float32, len(b)/m.size())
	for i := range out {
		if m.size() == 8 {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		} else {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return out
}

func (m *Model) encode(values []float32) []byte {
	var b []byte
	for _, v := range values {
		if m.size() == 8 {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
		} else {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b
}

// ServeHTTP speaks the protocol over REST.
func (m *Model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"name": "oiptest", "version": "1", "extensions": m.extensions()})
	})
	for _, prefix := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.HandleFunc("GET "+prefix, m.known(m.metadata))
		mux.HandleFunc("GET "+prefix+"/ready", m.known(func(w http.ResponseWriter, _ *http.Request) error {
			reply(w, map[string]any{"name": m.name(), "ready": true})
			return nil
		}))
		if m.Most > 0 {
			mux.HandleFunc("GET "+prefix+"/config", m.known(func(w http.ResponseWriter, _ *http.Request) error {
				reply(w, map[string]any{"name": m.name(), "max_batch_size": m.Most})
				return nil
			}))
		}
		mux.HandleFunc("POST "+prefix+"/infer", m.known(m.infer))
	}
	mux.ServeHTTP(w, r)
}

// extensions of the protocol that it has.
func (m *Model) extensions() []string {
	out := []string{}
	if !m.NoBinary {
		out = append(out, "binary_tensor_data")
	}
	if m.Most > 0 {
		out = append(out, "model_configuration")
	}
	return out
}

// reply writes JSON; if the client is gone, so be it.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// known refuses other models, and writes errors as the protocol wants them.
func (m *Model) known(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := errUnknown
		if v := r.PathValue("version"); r.PathValue("model") == m.name() && (v == "" || v == m.version()) {
			err = h(w, r)
		}
		if err == nil {
			return
		}
		code := http.StatusBadRequest
		if errors.Is(err, errUnknown) {
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
	}
}

func (m *Model) metadata(w http.ResponseWriter, r *http.Request) error {
	in, out, err := m.ports(r.Context())
	if err != nil {
		return err
	}
	reply(w, map[string]any{"name": m.name(), "versions": []string{m.version()}, "platform": "oiptest", "inputs": []port{in}, "outputs": []port{out}})
	return nil
}

func (m *Model) infer(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	text, raw := body, []byte(nil)
	if h := r.Header.Get(lengthHeader); h != "" && !m.NoBinary {
		n, err := strconv.Atoi(h)
		if err != nil || n < 0 || n > len(body) {
			return fmt.Errorf("%s: %q", lengthHeader, h)
		}
		text, raw = body[:n], body[n:]
	}
	var q struct {
		Inputs     []port         `json:"inputs"`
		Outputs    []port         `json:"outputs"`
		Parameters map[string]any `json:"parameters"`
	}
	if err := json.Unmarshal(text, &q); err != nil {
		return err
	}
	if len(q.Inputs) != 1 {
		return fmt.Errorf("%d inputs, want one", len(q.Inputs))
	}
	in := q.Inputs[0]
	values := m.decode(raw)
	if _, ok := in.Parameters["binary_data_size"]; !ok {
		values = make([]float32, len(in.Data))
		for i, v := range in.Data {
			values[i] = float32(v)
		}
	}
	y, err := m.predict(r.Context(), in.Name, in.Datatype, in.Shape, values)
	if err != nil {
		return err
	}
	wanted := q.Parameters["binary_data_output"] == true
	for _, o := range q.Outputs {
		if o.Name != m.output() {
			return fmt.Errorf("%w: output %q", errUnknown, o.Name)
		}
		wanted = o.Parameters["binary_data"] == true
	}
	out := port{Name: m.output(), Datatype: m.datatype(), Shape: []int64{int64(y.N()), int64(y.Stride())}}
	if wanted && !m.NoBinary {
		b := m.encode(y.Data)
		out.Parameters = map[string]any{"binary_data_size": len(b)}
		head, err := json.Marshal(map[string]any{"model_name": m.name(), "model_version": m.version(), "outputs": []port{out}})
		if err != nil {
			return err
		}
		w.Header().Set(lengthHeader, strconv.Itoa(len(head)))
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(append(head, b...))
		return nil
	}
	for _, v := range y.Data {
		out.Data = append(out.Data, float64(v))
	}
	reply(w, map[string]any{"model_name": m.name(), "model_version": m.version(), "outputs": []port{out}})
	return nil
}
