package oip_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/sdk"
)

// freeAddress is an address at which nobody listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// deadAddress is an address at which nobody listens, nor will while the test runs: it
// is taken by the other end of a connection.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

func TestFaultsGRPC(t *testing.T) {
	fails := func(code codes.Code, text string) func(context.Context, int, *inference.ModelInferResponse) error {
		return func(context.Context, int, *inference.ModelInferResponse) error { return grpcstatus.Error(code, text) }
	}
	changed := func(f func(*inference.ModelInferResponse)) func(context.Context, int, *inference.ModelInferResponse) error {
		return func(_ context.Context, _ int, m *inference.ModelInferResponse) error { f(m); return nil }
	}
	for _, c := range []struct {
		name  string
		fault func(ctx context.Context, hit int, m *inference.ModelInferResponse) error
		kind  sdk.Kind // 0: no error
		want  string
		hits  int
	}{
		{"UNAVAILABLE twice, then fine", func(_ context.Context, hit int, _ *inference.ModelInferResponse) error {
			if hit <= 2 {
				return grpcstatus.Error(codes.Unavailable, "busy")
			}
			return nil
		}, 0, "", 3},
		{"UNAVAILABLE", fails(codes.Unavailable, "busy"), sdk.FailedPrecondition, "gRPC Unavailable: busy (given up after 3 tries)", 3},
		{"RESOURCE_EXHAUSTED", fails(codes.ResourceExhausted, "quota"), sdk.FailedPrecondition, "gRPC ResourceExhausted: quota (given up after 3 tries)", 3},
		{"message too large there", fails(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 8)"), sdk.ResourceExhausted, "larger than max", 1},
		{"message too large here", changed(func(m *inference.ModelInferResponse) { m.ModelName = strings.Repeat("x", 2<<20) }),
			sdk.ResourceExhausted, "larger than max", 1},
		{"UNAUTHENTICATED", fails(codes.Unauthenticated, "who is "+secret+"?"), sdk.FailedPrecondition, "gRPC Unauthenticated: who is ***?; is the token right?", 1},
		{"INVALID_ARGUMENT", fails(codes.InvalidArgument, "bad rows"), sdk.InvalidArgument, "gRPC InvalidArgument: bad rows", 1},
		{"INTERNAL", fails(codes.Internal, "a bug"), sdk.Internal, "gRPC Internal: a bug", 1},
		{"UNIMPLEMENTED", fails(codes.Unimplemented, "no"), sdk.FailedPrecondition, "gRPC Unimplemented: no", 1},
		{"never answers", func(ctx context.Context, _ int, _ *inference.ModelInferResponse) error {
			<-ctx.Done()
			return ctx.Err()
		}, sdk.FailedPrecondition, "no answer within 3s", 1},
		{"wrong shape", changed(func(m *inference.ModelInferResponse) { m.Outputs[0].Shape = []int64{2, 4} }), sdk.Internal, `output "scores": its shape is [2 4], want 2×3`, 1},
		{"no shape", changed(func(m *inference.ModelInferResponse) { m.Outputs[0].Shape = nil }), sdk.Internal, `its shape is [], want 2×3`, 1},
		{"wrong datatype", changed(func(m *inference.ModelInferResponse) { m.Outputs[0].Datatype = "BYTES" }), sdk.Internal, `its datatype is "BYTES", want FP32 or FP64`, 1},
		{"truncated", changed(func(m *inference.ModelInferResponse) { m.RawOutputContents[0] = m.RawOutputContents[0][:5] }), sdk.Internal, "5 bytes for FP32 [2 3], want 24", 1},
		{"no contents", changed(func(m *inference.ModelInferResponse) { m.RawOutputContents = nil }), sdk.Internal, "0 numbers for FP32 [2 3], want 6", 1},
		{"two contents", changed(func(m *inference.ModelInferResponse) { m.RawOutputContents = append(m.RawOutputContents, nil) }), sdk.Internal, "2 raw contents for 1 outputs", 1},
		{"no outputs", changed(func(m *inference.ModelInferResponse) { m.Outputs = nil }), sdk.Internal, `output "scores": it is not in the answer`, 1},
		{"NaN", changed(func(m *inference.ModelInferResponse) { copy(m.RawOutputContents[0], "\x00\x00\xc0\x7f") }), sdk.Internal, "row 0, column 0 is NaN, want a finite number", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var armed atomic.Bool
			var hits atomic.Int32
			url := serveGRPC(t, &oiptest.Model{Classifier: fake()}, grpc.UnaryInterceptor(
				func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
					resp, err := h(ctx, req)
					if m, ok := resp.(*inference.ModelInferResponse); ok && armed.Load() {
						err = c.fault(ctx, int(hits.Add(1)), m)
					}
					return resp, err
				}))
			o := must(t, config(t, url, options{"retries": 2, "timeout": patience(c.want), "token": secret, "max_response_mb": 1}))
			armed.Store(true)
			x := rows(2, 6)
			y, err := o.Predict(t.Context(), x)
			if n := int(hits.Load()); n != c.hits {
				t.Errorf("%d requests, want %d", n, c.hits)
			}
			if c.kind == 0 {
				if err != nil {
					t.Fatal(err)
				}
				same(t, y, predict(t, fake(), x))
				return
			}
			refused(t, err, c.kind, url+`, model "model": infer: `, c.want)
		})
	}
}

// TestTyped reads answers of typed numbers, as some servers give them.
func TestTyped(t *testing.T) {
	for _, datatype := range []string{"FP32", "FP64"} {
		typed := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			resp, err := h(ctx, req)
			if m, ok := resp.(*inference.ModelInferResponse); ok {
				out := &inference.InferTensorContents{Fp32Contents: []float32{1, 2, 3, 4, 5, 6}}
				if datatype == "FP64" {
					out = &inference.InferTensorContents{Fp64Contents: []float64{1, 2, 3, 4, 5, 6}}
				}
				m.RawOutputContents, m.Outputs[0].Contents = nil, out
			}
			return resp, err
		}
		o := must(t, config(t, serveGRPC(t, &oiptest.Model{Classifier: fake(), Datatype: datatype}, grpc.UnaryInterceptor(typed)), nil))
		if y := predict(t, o, rows(2, 6)); y.Data[5] != 6 {
			t.Errorf("%s: got %v", datatype, y.Data)
		}
	}
}

// TestRestart asks a server that stopped and came back at the same address.
func TestRestart(t *testing.T) {
	m := &oiptest.Model{Classifier: fake()}
	address := freeAddress(t)
	start := func() *grpc.Server {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Skip("the address was taken: ", err)
		}
		s := grpc.NewServer()
		m.Register(s)
		go func() { _ = s.Serve(l) }()
		return s
	}
	s := start()
	o := must(t, config(t, "grpc://"+address, options{"retries": 20}))
	s.Stop()
	defer start().Stop()
	same(t, predict(t, o, rows(2, 6)), predict(t, fake(), rows(2, 6)))
}
