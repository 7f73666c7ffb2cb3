package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// listen serves until the test ends.
func listen(t testing.TB, s *grpc.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }() // until Stop
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// calls are those of a model server: inferences, and a stream that repeats what it gets.
func (u *upstream) calls() *grpc.Server {
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		_ = s.SendHeader(metadata.Pairs("x-head", md.Get("x-mine")[0], "x-trace", md.Get("traceparent")[0]))
		s.SetTrailer(metadata.Pairs("x-tail-bin", "\x00\xff"))
		for {
			m := &wrapperspb.BytesValue{}
			if err := s.RecvMsg(m); err != nil {
				return status.Error(codes.DataLoss, "on purpose")
			}
			for range 2 {
				if err := s.SendMsg(m); err != nil {
					return err
				}
			}
		}
	}))
	inference.Register(s, inference.Infer(1<<20, nil, func(_ context.Context, m *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
		q, err := tensors.FromRequest(m, tensors.Limits{})
		if err != nil {
			return nil, err
		}
		r, err := u.infer(q)
		return r.Message(), err
	}))
	return s
}

// called is a bench over gRPC.
func called(t *testing.T, policy proxy.Policy, change func(*proxy.Model, *proxy.Options)) (*bench, *grpc.ClientConn) {
	t.Helper()
	u := newUpstream()
	b := stand(t, policy, func(m *proxy.Model, o *proxy.Options) {
		m.GRPC = listen(t, u.calls())
		if change != nil {
			change(m, o)
		}
	})
	b.upstream = u
	c, err := grpc.NewClient("dns:///"+listen(t, grpc.NewServer(b.ServerOptions()...)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return b, c
}

func ask1(t *testing.T, c *grpc.ClientConn, q tensors.Request) (*inference.ModelInferResponse, metadata.MD, error) {
	t.Helper()
	q.Model = "m"
	out := &inference.ModelInferResponse{}
	var tail metadata.MD
	err := c.Invoke(t.Context(), inference.ModelInfer, q.Message(), out, grpc.Trailer(&tail), grpc.UseCompressor(gzip.Name))
	return out, tail, err
}

func TestCallsAreJudged(t *testing.T) {
	t.Run("annotate", func(t *testing.T) {
		b, c := called(t, proxy.Annotate, nil)
		b.settle(t, b.behind, "logits", "7")
		x, want := b.rows(t, 12)
		before := b.guard.Counters()
		m, tail, err := ask1(t, c, request(x))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := newUpstream().infer(request(x))
		if err != nil {
			t.Fatal(err)
		}
		p := m.Parameters
		if p["theirs"].GetStringParam() != "yes" || p["vaeguard_instance_score"].GetStringParam() != scores(want) || p["vaeguard_rows"].GetInt64Param() != 12 {
			t.Errorf("%v", p)
		}
		m.Parameters = theirs.Message().Parameters
		if !proto.Equal(m, theirs.Message()) {
			t.Error("the answer changed")
		}
		if got := tail.Get("x-vaeguard-is-adversarial"); len(got) != 1 || got[0] != flags(want) {
			t.Errorf("trailers %v", tail)
		}
		if rows, extra := b.upstream.rows.Load(), b.guard.Counters().Extra-before.Extra; rows != 12 || extra != 24 {
			t.Errorf("%d and %d rows, want 12 and 24", rows, extra)
		}
	})
	t.Run("block", func(t *testing.T) {
		b, c := called(t, proxy.Block, nil)
		x, want := b.rows(t, 12)
		for i, flagged := range want.Adversarial {
			m, tail, err := ask1(t, c, request(x.Rows(i, i+1)))
			if flagged != (status.Code(err) == codes.PermissionDenied) || !flagged != (err == nil) || flagged && len(m.Outputs) > 0 || tail.Get("x-vaeguard-verdict")[0] != "judged" {
				t.Errorf("row %d, flagged %v: %v %v", i, flagged, err, tail)
			}
		}
	})
	t.Run("correct", func(t *testing.T) {
		b, c := called(t, proxy.Correct, nil)
		x, want := b.rows(t, 12)
		m, _, err := ask1(t, c, request(x))
		if err != nil {
			t.Fatal(err)
		}
		got, err := tensors.FromResponse(m, tensors.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		corrected(t, got, x, want)
	})
	t.Run("observe", func(t *testing.T) {
		b, c := called(t, proxy.Observe, nil)
		x, _ := b.rows(t, 12)
		m, tail, err := ask1(t, c, request(x))
		if err != nil || len(m.Parameters) != 1 || len(tail) != 0 {
			t.Errorf("%v %v %v", m.Parameters, tail, err)
		}
		await(t, func() bool { return b.Counters().Judged == 1 })
	})
	t.Run("closed", func(t *testing.T) {
		b, c := called(t, proxy.Annotate, func(m *proxy.Model, _ *proxy.Options) { m.Closed = true })
		q := tensors.Request{Inputs: []tensors.Tensor{tensors.FromFloat32s("pixels", []int64{1, 3}, make([]float32, 3))}}
		if _, _, err := ask1(t, c, q); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v", err)
		}
		q = request(tensor.New(1, features))
		q.Outputs = []tensors.Output{{Name: "logits", Parameters: tensors.Parameters{tensors.SharedMemory: "r"}}}
		if _, _, err := ask1(t, c, q); status.Code(err) != codes.InvalidArgument || b.asks.Load() != 0 {
			t.Errorf("an answer elsewhere: %v, and the model server was asked %d times", err, b.asks.Load())
		}
		for _, method := range []string{"/inference.GRPCInferenceService/ModelStreamInfer", "/inference.GRPCInferenceService/ModelInferAsync", "/inference.GRPCInferenceService/modelinfer",
			"/inference.GRPCInferenceService//ModelInfer", "/tensorflow.serving.PredictionService/Predict", "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions", "/a/b"} {
			s, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
			if err == nil {
				err = s.RecvMsg(&wrapperspb.BytesValue{})
			}
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s: %v", method, err)
			}
		}
		for _, method := range []string{"inference.GRPCInferenceService/ModelMetadata", "inference.GRPCInferenceService/SystemSharedMemoryRegister", "grpc.health.v1.Health/Check",
			"grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "inference.model_repository.ModelRepositoryService/RepositoryIndex"} {
			s, err := c.NewStream(metadata.AppendToOutgoingContext(t.Context(), "x-mine", "me", "traceparent", "00-1"), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+method)
			if err == nil {
				err = errors.Join(s.SendMsg(wrapperspb.Bytes(nil)), s.CloseSend())
			}
			for err == nil {
				err = s.RecvMsg(&wrapperspb.BytesValue{})
			}
			if code := status.Code(err); code != codes.DataLoss && code != codes.Unimplemented { // as the server says
				t.Errorf("%s: %v", method, err)
			}
		}
	})
}

// Messages in each coding that clients of gRPC's C core have are read and answered.
func TestCallsInCodings(t *testing.T) {
	b, c := called(t, proxy.Annotate, nil)
	x, want := b.rows(t, 12)
	q := request(x)
	q.Model = "m"
	for _, coding := range []string{gzip.Name, inference.Deflate} {
		var tail metadata.MD
		err := c.Invoke(t.Context(), inference.ModelInfer, q.Message(), &inference.ModelInferResponse{}, grpc.Trailer(&tail), grpc.UseCompressor(coding))
		if got := tail.Get("x-vaeguard-is-adversarial"); err != nil || len(got) != 1 || got[0] != flags(want) {
			t.Errorf("%s: %v %v", coding, tail, err)
		}
	}
}

// Other calls pass: messages both ways, metadata, trailers, status.
func TestCallsPass(t *testing.T) {
	_, c := called(t, proxy.Block, nil)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-mine", "me", "traceparent", "00-1")
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/any.Service/Call")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		want := bytes.Repeat([]byte{byte(i)}, i*1000)
		if err := s.SendMsg(wrapperspb.Bytes(want)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			m := &wrapperspb.BytesValue{}
			if err := s.RecvMsg(m); err != nil || !bytes.Equal(m.Value, want) {
				t.Fatalf("message %d: %d bytes, %v", i, len(m.Value), err)
			}
		}
	}
	if head, err := s.Header(); err != nil || head.Get("x-head")[0] != "me" || head.Get("x-trace")[0] != "00-1" {
		t.Errorf("%v %v", head, err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	err = s.RecvMsg(&wrapperspb.BytesValue{})
	if errors.Is(err, io.EOF) || status.Code(err) != codes.DataLoss || s.Trailer().Get("x-tail-bin")[0] != "\x00\xff" {
		t.Errorf("%v %v", err, s.Trailer())
	}
}

// Calls go to the server of the model that they name, as paths do, and others to the first model's.
func TestCallsAreRouted(t *testing.T) {
	var models []proxy.Model
	for _, name := range []string{"a", "b"} {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		t.Cleanup(up.Close)
		models = append(models, proxy.Model{Name: "guard-" + name, Model: name, URL: up.URL, GRPC: listen(t, grpc.NewServer(grpc.ForceServerCodecV2(asBytes{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			in := &wire{}
			for err := s.RecvMsg(in); err == nil; err = s.RecvMsg(in) {
			}
			return s.SendMsg(&wire{mem.BufferSlice{mem.SliceBuffer(name)}})
		})))})
	}
	p, err := proxy.New(none{}, models, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c, front := connect(t, listen(t, grpc.NewServer(p.ServerOptions()...))), httptest.NewServer(p)
	t.Cleanup(front.Close)
	field := func(number protowire.Number, name string) []byte {
		b := protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), []byte("b"))
		return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), []byte(name))
	}
	for _, name := range []string{"a", "b", "c"} {
		want := map[string]string{"b": "b"}[name]
		if want == "" {
			want = "a"
		}
		for method, in := range map[string][]byte{
			"ModelReady": field(1, name), "ModelMetadata": field(1, name), "ModelConfig": field(1, name), "ModelStatistics": field(1, name), "ModelStreamInfer": field(1, name), "ModelInfer": field(1, name),
			"RepositoryModelLoad": field(2, name), "RepositoryModelUnload": field(2, name), "TraceSetting": field(2, name), "ModelReadyTwice": append(field(1, name), field(1, name)...),
		} {
			if method == "ModelReadyTwice" {
				method, in = "ModelReady", append(field(1, "b"), field(1, name)...) // the last one counts
			}
			out := &wire{}
			if err := c.Invoke(t.Context(), "/inference.GRPCInferenceService/"+method, &wire{mem.BufferSlice{mem.SliceBuffer(in)}}, out, grpc.ForceCodecV2(asBytes{})); err != nil && method != "ModelInfer" {
				t.Errorf("%s of %s: %v", method, name, err)
			} else if got := string(out.b.Materialize()); err == nil && got != want {
				t.Errorf("%s of %s went to %s, want %s", method, name, got, want)
			}
		}
		for _, path := range []string{"GET /v2/models/" + name + "/config", "POST /v2/repository/models/" + name + "/load", "POST /v2/models/" + name + "/trace/setting"} {
			method, path, _ := strings.Cut(path, " ")
			if got, err := ask(t, front.URL, method, path, nil, nil); err != nil || !strings.HasSuffix(got, "\n"+want) {
				t.Errorf("%s went to %q, want %s", path, got, want)
			}
		}
	}
	for _, method := range []string{"ModelReady", "ServerReady"} { // without a message, and without a name
		s, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/inference.GRPCInferenceService/"+method, grpc.ForceCodecV2(asBytes{}))
		out := &wire{}
		if err == nil {
			err = errors.Join(s.CloseSend(), s.RecvMsg(out))
		}
		if err != nil || string(out.b.Materialize()) != "a" {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// repeat says over gRPC what it was asked with, gives each message back twice, and ends with one of all codes.
func repeat(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	md, _ := metadata.FromIncomingContext(s.Context())
	var said []string
	for name, values := range md {
		if !strings.HasPrefix(name, ":") && name != "content-type" && name != "user-agent" && name != "grpc-accept-encoding" { // of a connection
			said = append(said, fmt.Sprintf("%s=%q", name, values))
		}
	}
	slices.Sort(said)
	if err := s.SendHeader(metadata.Pairs("x-method-bin", method, "x-said-bin", strings.Join(said, " "))); err != nil {
		return err
	}
	n := 0
	for {
		in := &wire{}
		if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		b := in.b.Materialize()
		n += len(b)
		for range 2 {
			if err := s.SendMsg(&wire{mem.BufferSlice{mem.SliceBuffer(b)}}); err != nil {
				return err
			}
		}
	}
	s.SetTrailer(metadata.Pairs("x-n", strconv.Itoa(n), "x-n-bin", strings.Repeat("\x00\xff", n%5)))
	return status.Error(codes.Code(n%17), fmt.Sprintf("%d: %s", n, method))
}

// All calls but inferences pass: methods, metadata, messages both ways, headers, trailers, codes and what they say.
func FuzzCallsPass(f *testing.F) {
	up := listen(f, grpc.NewServer(grpc.ForceServerCodecV2(asBytes{}), grpc.UnknownServiceHandler(repeat)))
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: "http://127.0.0.1:1", GRPC: up}}, proxy.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.Close)
	direct, through := connect(f, up), connect(f, listen(f, grpc.NewServer(p.ServerOptions()...)))
	for _, method := range []string{"inference.GRPCInferenceService/ModelConfig", "inference.GRPCInferenceService/ModelStreamInfer", "a/b", "grpc.health.v1.Health/Watch", "x"} {
		f.Add(method, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", []byte("\x00\xff"), []byte("message"), uint8(2))
	}
	f.Fuzz(func(t *testing.T, method, value string, raw, message []byte, messages uint8) {
		plain := func(s string) string {
			return strings.Map(func(r rune) rune {
				if r <= ' ' || r >= 0x7f {
					return -1
				}
				return r
			}, s)
		}
		method = "/s/" + strings.NewReplacer("%", "", "?", "", "#", "").Replace(plain(method))
		ask := func(c *grpc.ClientConn) string {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", plain(value), "authorization", "Bearer t", "x-mine-bin", string(raw), "x-mine-bin", "two", "x-vaeguard-mine", "")
			s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodecV2(asBytes{}))
			if err != nil {
				return err.Error()
			}
			for range messages % 4 {
				if err := s.SendMsg(&wire{mem.BufferSlice{mem.SliceBuffer(message)}}); err != nil {
					break // RecvMsg has why
				}
			}
			_ = s.CloseSend() // never fails
			var out []string
			for {
				m := &wire{}
				if err := s.RecvMsg(m); err != nil {
					head, _ := s.Header() // none after an error of the transport
					tail := s.Trailer()
					for _, md := range []metadata.MD{head, tail} {
						md.Delete("content-type")
						md.Delete("grpc-accept-encoding")
					}
					return fmt.Sprintf("%q %v %v %v", out, head, tail, err)
				}
				out = append(out, string(m.b.Materialize()))
			}
		}
		want := ask(direct)
		if got := ask(through); got != want {
			t.Errorf("%s: %s\nwant\n%s", method, got, want)
		}
	})
}
