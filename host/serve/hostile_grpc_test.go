package serve_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// octets is a codec of messages that a test has made.
type octets struct{}

func (octets) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (octets) Unmarshal(b mem.BufferSlice, v any) error {
	*v.(*[]byte) = b.Materialize()
	return nil
}

func (octets) Name() string { return "proto" }

// call asks the gRPC listener, and gives the code and the message of the status.
func (s *running) call(t *testing.T, method string, m []byte, md ...string) string {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(octets{})))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), md...), clientSeconds*time.Second)
	defer cancel()
	var out []byte
	st := status.Convert(c.Invoke(ctx, method, &m, &out))
	return st.Code().String() + " " + st.Message()
}

// asking is a call of ModelInfer on a row, changed; nil: not at all.
func asking(t *testing.T, change func(*inference.ModelInferRequest)) []byte {
	t.Helper()
	m := &inference.ModelInferRequest{ModelName: "small", Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{1, 64}}},
		RawInputContents: [][]byte{make([]byte, 64*4)}}
	if change != nil {
		change(m)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// callIntruders call over gRPC.
func callIntruders() []intruder {
	type request = inference.ModelInferRequest
	bomb := zeros(48 << 20)
	groups := bytes.Repeat([]byte{1<<3 | 3}, 100_000) // of field 1, each in the one before
	inputs := bytes.Repeat([]byte{5<<3 | 2, 0}, 400_000)
	sends := func(m []byte) func(*testing.T, *running) string {
		return func(t *testing.T, s *running) string { return s.call(t, inference.ModelInfer, m) }
	}
	asks := func(change func(*request)) func(*testing.T, *running) string {
		return func(t *testing.T, s *running) string {
			return s.call(t, inference.ModelInfer, asking(t, change))
		}
	}
	shaped := func(n ...int64) func(*testing.T, *running) string {
		return asks(func(m *request) { m.Inputs[0].Shape = n })
	}
	frames := func(b []byte, more ...string) func(*testing.T, *running) string {
		return func(t *testing.T, s *running) string {
			w := s.http2(t, "grpc")
			id := w.headers(false, open("grpc", more...)...)
			for len(b) > 16<<10 {
				_ = w.WriteData(id, false, b[:16<<10])
				b = b[16<<10:]
			}
			_ = w.WriteData(id, true, b)
			return w.answer(id)
		}
	}
	with := func(fields ...string) func(*testing.T, *running) string {
		return func(t *testing.T, s *running) string {
			w := s.http2(t, "grpc")
			return w.answer(w.headers(true, fields...))
		}
	}
	replace := func(name, value string) []string {
		fields := open("grpc")
		for i := 0; i < len(fields); i += 2 {
			if fields[i] == name {
				fields[i+1] = value
			}
		}
		return fields
	}
	return []intruder{
		{kind: "gRPC messages", what: "a gigabyte that it announces", do: frames(prefixed(0, 1<<30, nil)), says: "ResourceExhausted", cause: "received message larger than max"},
		{kind: "gRPC messages", what: "48 MB that come as 48 kB", do: frames(prefixed(1, len(bomb), []byte(bomb)), "grpc-encoding", "gzip"), says: "ResourceExhausted", cause: "after decompression larger than max 1048576"},
		{kind: "gRPC messages", what: "a compressed message that is none", do: frames(prefixed(1, 4, []byte("none")), "grpc-encoding", "gzip"), says: "Internal", cause: "failed to decompress"},
		{kind: "gRPC messages", what: "a compression of its own", do: frames(prefixed(1, 4, []byte("none")), "grpc-encoding", "bomb"), says: "Unimplemented", cause: "Decompressor is not installed"},
		{kind: "gRPC messages", what: "two in the place of one", do: func(t *testing.T, s *running) string {
			one := prefixed(0, 0, nil)
			return frames(append(one, one...))(t, s)
		}, says: "Internal", cause: "received multiple request messages"},
		{kind: "gRPC messages", what: "bytes that are none", do: sends([]byte("no message at all")), says: "Internal", cause: "failed to unmarshal"},
		{kind: "gRPC messages", what: "100,000 groups in each other", do: sends(groups), says: "Internal", cause: "failed to unmarshal"},
		{kind: "gRPC messages", what: "400,000 inputs", do: sends(inputs), says: "InvalidArgument", cause: "more than 16384 tensors"},
		{kind: "gRPC tensors", what: "raw contents that are cut", do: asks(func(m *request) { m.RawInputContents[0] = make([]byte, 255) }), says: "InvalidArgument", cause: "255 bytes for FP32"},
		{kind: "gRPC tensors", what: "raw contents of inputs that are not there", do: asks(func(m *request) { m.RawInputContents = make([][]byte, 3) }), says: "InvalidArgument", cause: "3 raw contents for 1 tensors"},
		{kind: "gRPC tensors", what: "contents and raw contents", do: asks(func(m *request) {
			m.Inputs[0].Contents = &inference.InferTensorContents{Fp32Contents: make([]float32, 64)}
		}), says: "InvalidArgument", cause: "want one of them"},
		{kind: "gRPC tensors", what: "a shape of 2^62 numbers", do: shaped(1 << 62), says: "InvalidArgument", cause: "has more than 268435456 elements"},
		{kind: "gRPC tensors", what: "sizes that overflow", do: shaped(1<<32, 1<<32, 64), says: "InvalidArgument", cause: "has more than 268435456 elements"},
		{kind: "gRPC tensors", what: "minus one row", do: shaped(-1, -64), says: "InvalidArgument", cause: "a negative dimension"},
		{kind: "gRPC tensors", what: "100,000 dimensions", do: shaped(make([]int64, 100_000)...), says: "InvalidArgument", cause: "100000 dimensions"},
		{kind: "gRPC tensors", what: "a text of 4 GB in four bytes", do: asks(func(m *request) {
			m.Inputs[0].Datatype, m.Inputs[0].Shape, m.RawInputContents[0] = "BYTES", []int64{1, 1}, []byte{255, 255, 255, 255}
		}), says: "InvalidArgument", cause: "has 4294967295 bytes, 0 are left"},
		{kind: "gRPC tensors", what: "numbers that do not fit their type", do: asks(func(m *request) {
			m.Inputs[0].Datatype, m.RawInputContents = "INT8", nil
			m.Inputs[0].Contents = &inference.InferTensorContents{IntContents: append(make([]int32, 63), 300)}
		}), says: "InvalidArgument", cause: "out of the range of INT8"},
		{kind: "gRPC tensors", what: "the memory of another", do: asks(func(m *request) {
			m.Inputs[0].Parameters = map[string]*inference.InferParameter{"shared_memory_region": {ParameterChoice: &inference.InferParameter_StringParam{StringParam: "theirs"}}}
		}), says: "InvalidArgument", cause: "shared memory, which is not read here"},
		{kind: "gRPC tensors", what: "2^62 draws a row", do: asks(func(m *request) {
			m.Parameters = map[string]*inference.InferParameter{"samples": {ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: 1 << 62}}}
		}), says: "InvalidArgument", cause: "want the number of draws"},
		{kind: "gRPC calls", what: "a service with a name of 50 kB and escapes", do: func(t *testing.T, s *running) string {
			return s.call(t, "/"+strings.Repeat("\u202e", 16_000)+"/Infer", nil)
		}, says: "Unimplemented", cause: "there is no such method", never: "\u202e"},
		{kind: "gRPC calls", what: "a method that is not where it says", do: with(replace(":path", strings.TrimPrefix(inference.ModelInfer, "/"))...), says: "Unimplemented", cause: "malformed method name"},
		{kind: "gRPC calls", what: "a model that leads out of the folder", do: asks(func(m *request) { m.ModelName = "../../etc/passwd\r\nset-cookie: x" }), says: "NotFound", cause: `there is no model "../../etc/passwd\\r\\nset-cookie: x"`},
		{kind: "gRPC calls", what: "a model to load from elsewhere", do: func(t *testing.T, s *running) string {
			m, err := proto.Marshal(&inference.RepositoryModelLoadRequest{RepositoryName: "http://198.51.100.7/", ModelName: "../../etc"})
			if err != nil {
				t.Fatal(err)
			}
			return s.call(t, inference.RepositoryModelLoad, m)
		}, says: "PermissionDenied", cause: "not here"},
		{kind: "gRPC calls", what: "two megabytes of metadata", do: with(open("grpc", "x", strings.Repeat("~", 2<<20))...), says: "the connection ended"},
		{kind: "gRPC calls", what: "line breaks in metadata", do: with(open("grpc", "x-request-id", "a\r\nset-cookie: x")...), says: "RST_STREAM PROTOCOL_ERROR"},
		{kind: "gRPC calls", what: "binary metadata that are none", do: with(open("grpc", "x-bin", "~~~")...), says: "Internal", cause: "malformed binary metadata"},
		{kind: "gRPC calls", what: "a deadline that is no time", do: with(open("grpc", "grpc-timeout", "-1S")...), says: "Internal", cause: "malformed grpc-timeout"},
		{kind: "gRPC calls", what: "an id that turns the direction of writing", do: func(t *testing.T, s *running) string {
			w := s.http2(t, "grpc")
			fields := open("grpc", "x-request-id", "a\u202eb")
			fields[5] = inference.ServerLive
			id := w.headers(false, fields...)
			_ = w.WriteData(id, true, prefixed(0, 0, nil))
			return w.answer(id)
		}, says: "OK", never: "\u202e"},
		{kind: "gRPC calls", what: "a page of the web", do: with(replace("content-type", "text/html")...), says: "415"},
	}
}
