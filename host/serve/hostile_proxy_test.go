package serve_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// theirs is a model server behind a proxy, which knows the models small and other.
type theirs struct{ calls, small, other atomic.Int64 }

func (u *theirs) infer(_ context.Context, m *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	u.calls.Add(1)
	switch m.ModelName {
	case "small":
		u.small.Add(1)
	case "other":
		u.other.Add(1)
	default:
		return nil, status.Error(codes.NotFound, "not a model of theirs")
	}
	n := m.Inputs[0].Shape[0]
	p := bytes.Repeat(binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.1)), int(n)*10)
	return &inference.ModelInferResponse{ModelName: m.ModelName, RawOutputContents: [][]byte{p},
		Outputs: []*inference.ModelInferResponse_InferOutputTensor{{Name: "p", Datatype: "FP32", Shape: []int64{n, 10}}}}, nil
}

// runProxy starts a server of models, and a proxy before it that guards small and refuses what it cannot judge.
func runProxy(t *testing.T, detector string) (*running, *theirs) {
	t.Helper()
	u := &theirs{}
	g := grpc.NewServer()
	inference.Register(g, inference.Infer(1<<20, nil, u.infer))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = g.Serve(l) }() // until Stop
	t.Cleanup(g.Stop)
	return run(t, t.TempDir(), "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0'}\nlimits: {body: 1MiB, read: 2s}\n"+
		fmt.Sprintf("models: [{name: small, detector: %q, upstream: {url: 'http://%[2]s', grpc: '%[2]s'}, on_failure: closed}]\n", detector, l.Addr())), u
}

// proxyIntruders call a proxy, which must not let what it cannot judge through to small.
func proxyIntruders(p *running, u *theirs) []intruder {
	type request = inference.ModelInferRequest
	// asks makes an attempt, after which small has been asked as often as it may be, and an honest call is judged.
	asks := func(small int64, do func(t *testing.T) string) func(*testing.T, *running) string {
		return func(t *testing.T, _ *running) string {
			before, judged := u.small.Load(), p.Proxy().Counters().Judged
			said := do(t)
			if n := u.small.Load() - before; n != small {
				t.Errorf("small was asked %d times, want %d", n, small)
			}
			if got := p.call(t, inference.ModelInfer, asking(t, nil)); got != "OK " {
				t.Errorf("afterwards an honest call is answered with %s", got)
			}
			if n := p.Proxy().Counters().Judged - judged; n != small+1 {
				t.Errorf("%d inferences were judged, want %d", n, small+1)
			}
			return said
		}
	}
	sends := func(small int64, method string, m func(t *testing.T) []byte) func(*testing.T, *running) string {
		return asks(small, func(t *testing.T) string { return p.call(t, method, m(t)) })
	}
	changed := func(change func(*request)) func(*testing.T, *running) string {
		return sends(0, inference.ModelInfer, func(t *testing.T) []byte { return asking(t, change) })
	}
	named := func(names ...string) func(t *testing.T) []byte {
		return func(t *testing.T) []byte {
			m := asking(t, func(m *request) { m.ModelName = "" })
			for i, name := range names {
				field := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
				if i == 0 {
					m = append(field, m...)
				} else {
					m = append(m, field...)
				}
			}
			return m
		}
	}
	frames := func(b []byte, more ...string) func(*testing.T, *running) string {
		return asks(0, func(t *testing.T) string {
			w := p.http2(t, "grpc")
			id := w.headers(false, open("grpc", more...)...)
			for len(b) > 16<<10 {
				_ = w.WriteData(id, false, b[:16<<10])
				b = b[16<<10:]
			}
			_ = w.WriteData(id, true, b)
			return w.answer(id)
		})
	}
	bomb := zeros(48 << 20)
	inputs := append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "small"), bytes.Repeat([]byte{5<<3 | 2, 0}, 400_000)...)
	return []intruder{
		{kind: "proxy", what: "a gigabyte that it announces", do: frames(prefixed(0, 1<<30, nil)), says: "ResourceExhausted", cause: "received message larger than max"},
		{kind: "proxy", what: "48 MB that come as 48 kB", do: frames(prefixed(1, len(bomb), []byte(bomb)), "grpc-encoding", "gzip"), says: "ResourceExhausted", cause: "after decompression larger than max 1048576"},
		{kind: "proxy", what: "a model and no message after its name", do: sends(0, inference.ModelInfer, func(t *testing.T) []byte { return append(asking(t, nil), 0xff) }), says: "InvalidArgument", cause: "no message of the protocol"},
		{kind: "proxy", what: "400,000 inputs", do: sends(0, inference.ModelInfer, func(*testing.T) []byte { return inputs }), says: "InvalidArgument", cause: "more than 16384 tensors"},
		{kind: "proxy", what: "raw contents that are cut", do: changed(func(m *request) { m.RawInputContents[0] = make([]byte, 255) }), says: "InvalidArgument", cause: "255 bytes for FP32"},
		{kind: "proxy", what: "sizes that overflow", do: changed(func(m *request) { m.Inputs[0].Shape = []int64{1 << 32, 1 << 32, 64} }), says: "InvalidArgument", cause: "has more than 268435456 elements"},
		{kind: "proxy", what: "a guarded model whose name comes after another's", do: sends(1, inference.ModelInfer, named("other", "small")), says: "OK"},
		{kind: "proxy", what: "another model whose name comes after a guarded one's", do: sends(0, inference.ModelInfer, named("small", "other")), says: "OK"},
		{kind: "proxy", what: "a guarded model with a byte more to its name", do: sends(0, inference.ModelInfer, named("small\x00")), says: "InvalidArgument", cause: "zero byte"},
		{kind: "proxy", what: "a guarded model in a field that others take for its name", do: sends(0, inference.ModelInfer, func(t *testing.T) []byte {
			m := append(named("other")(t), protowire.AppendVarint(nil, 1<<32|1<<3|uint64(protowire.BytesType))...)
			return protowire.AppendString(m, "small")
		}), says: "InvalidArgument", cause: "fields that there cannot be"},
		{kind: "proxy", what: "a sign of life that leads elsewhere", do: sends(0, "/grpc.health.v1.Health/.."+inference.ModelInfer, func(t *testing.T) []byte {
			return asking(t, nil)
		}), says: "PermissionDenied", cause: "not judged, and so refused"},
		{kind: "proxy", what: "a path that ends early for others", do: asks(0, func(t *testing.T) string {
			first := p.raw(t, intruder{send: get("/v2/models/small%00x/infer")}, 0)
			return first + p.raw(t, intruder{send: get("/v2/models/small/infer%00/ready")}, 0)
		}), says: "400", cause: "zero byte"},
		{kind: "proxy", what: "inferences in a stream", do: sends(0, "/"+inference.Service+"/ModelStreamInfer", func(t *testing.T) []byte { return asking(t, nil) }), says: "PermissionDenied", cause: "not judged, and so refused"},
		{kind: "proxy", what: "a method without its slash", do: asks(0, func(t *testing.T) string {
			w := p.http2(t, "grpc")
			fields := open("grpc")
			fields[5] = strings.TrimPrefix(inference.ModelInfer, "/")
			id := w.headers(false, fields...)
			m := asking(t, nil)
			_ = w.WriteData(id, true, prefixed(0, len(m), m))
			return w.answer(id)
		}), says: "Unimplemented", cause: "malformed method name"},
		{kind: "proxy", what: "calls whose messages never come", do: asks(0, func(t *testing.T) string {
			w := p.http2(t, "grpc")
			last := uint32(0)
			for range 200 {
				last = w.headers(false, open("grpc")...)
				_ = w.WriteData(last, false, prefixed(0, 1000, []byte("so far")))
			}
			return w.answer(last)
		}), says: "DeadlineExceeded", cause: "context deadline exceeded"},
		{kind: "proxy", what: "5,000 calls, each reset at once", calls: 5_000, do: asks(0, func(t *testing.T) string {
			w := p.http2(t, "grpc")
			for range 5_000 {
				if w.WriteRSTStream(w.headers(false, open("grpc")...), http2.ErrCodeCancel) != nil {
					break
				}
			}
			id := w.headers(false, open("grpc")...)
			_ = w.WriteData(id, true, prefixed(0, 0, nil))
			return w.answer(id)
		}), says: "NotFound"},
	}
}
