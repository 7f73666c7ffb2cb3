package oip_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// invoke makes a call, whose answer is to be that, as JSON; an answer with a space
// before it is part of the error's code and message.
func invoke(t testing.TB, c *grpc.ClientConn, method string, in, out proto.Message, want string) {
	t.Helper()
	err := c.Invoke(t.Context(), method, in, out)
	if words, ok := strings.CutPrefix(want, " "); ok {
		if got := fmt.Sprint(status.Code(err), ": ", status.Convert(err).Message()); err == nil || !strings.Contains(got, words) {
			t.Errorf("%s %v: %v, want an error with %q", method, in, err, words)
		}
		return
	}
	expected := out.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal([]byte(want), expected); err != nil {
		t.Fatal(err)
	}
	if err != nil || !proto.Equal(out, expected) {
		t.Errorf("%s %v: %v, error %v, want %v", method, in, out, err, expected)
	}
}

// grpcRow is a request of one image over gRPC.
func grpcRow(t testing.TB) tensors.Request {
	return tensors.Request{Model: "digits", ID: "42", Inputs: []tensors.Tensor{tensorOf(t, "x", tensors.FP32, []int64{1, 16}, "["+sixteen+"]")}}
}

// refuses checks that an inference fails so.
func refuses(t testing.TB, s *served, q *inference.ModelInferRequest, want string) {
	t.Helper()
	invoke(t, s.grpc, inference.ModelInfer, q, &inference.ModelInferResponse{}, " "+want)
}

// grpcStatements are of gRPC: the protocol, the repository, health and reflection.
var grpcStatements = []statement{
	{"gRPC: ServerLive, ServerReady and ModelReady say whether", func(t *testing.T, s *served) {
		invoke(t, s.grpc, inference.ServerLive, &inference.ServerLiveRequest{}, &inference.ServerLiveResponse{}, `{"live":true}`)
		invoke(t, s.grpc, inference.ServerReady, &inference.ServerReadyRequest{}, &inference.ServerReadyResponse{}, `{}`)
		invoke(t, dial(t, serveGRPC(t, both(), oip.Options{})), inference.ServerReady, &inference.ServerReadyRequest{}, &inference.ServerReadyResponse{}, `{"ready":true}`)
		for name, want := range map[string]string{"digits": `{"ready":true}`, "asleep": `{}`, "nobody": ` NotFound: there is no model "nobody"`} {
			invoke(t, s.grpc, inference.ModelReady, &inference.ModelReadyRequest{Name: name}, &inference.ModelReadyResponse{}, want)
		}
		invoke(t, s.grpc, inference.ModelReady, &inference.ModelReadyRequest{Name: "digits", Version: "9"}, &inference.ModelReadyResponse{}, ` NotFound: model "digits" has no version "9"`)
	}},
	{"gRPC: ServerMetadata and ModelMetadata are what REST says", func(t *testing.T, s *served) {
		invoke(t, s.grpc, inference.ServerMetadata, &inference.ServerMetadataRequest{}, &inference.ServerMetadataResponse{}, ask(t, "GET", s.url+"/v2", "").body)
		for _, name := range []string{"digits", "lo/ans"} {
			want := ask(t, "GET", s.url+"/v2/models/"+strings.ReplaceAll(name, "/", "%2F"), "").body
			invoke(t, s.grpc, inference.ModelMetadata, &inference.ModelMetadataRequest{Name: name}, &inference.ModelMetadataResponse{}, want)
		}
		invoke(t, s.grpc, inference.ModelMetadata, &inference.ModelMetadataRequest{Name: "asleep"}, &inference.ModelMetadataResponse{}, " Unavailable: it is starting")
	}},
	{"gRPC: ModelInfer answers with model, version and id, in raw_output_contents, one an output", func(t *testing.T, s *served) {
		out := call(t, s.grpc, grpcRow(t).Message())
		if out.Model != "digits" || out.Version != "2" || out.ID != "42" || len(out.Outputs) != 6 {
			t.Errorf("%+v", out)
		}
	}},
	{"gRPC: the outputs that are requested are returned, and no others", func(t *testing.T, s *served) {
		q := grpcRow(t)
		q.Outputs = []tensors.Output{{Name: "corrected"}, {Name: "p_value"}}
		if out := call(t, s.grpc, q.Message()); len(out.Outputs) != 2 || out.Outputs[0].Name != "corrected" || out.Outputs[1].Name != "p_value" {
			t.Errorf("%+v", out)
		}
		q.Outputs = []tensors.Output{{Name: "logits"}}
		refuses(t, s, q.Message(), `InvalidArgument: output "logits"`)
	}},
	{"gRPC: elements are in contents of the datatype's field, or in raw_input_contents, one an input, never both", func(t *testing.T, s *served) {
		q := grpcRow(t).Message()
		want := call(t, s.grpc, q)
		raw := q.RawInputContents
		q.RawInputContents = nil
		q.Inputs[0].Contents = &inference.InferTensorContents{Fp32Contents: slices.Repeat([]float32{1}, 16)}
		sameTensors(t, "contents", call(t, s.grpc, q).Outputs, want.Outputs)
		q.RawInputContents, q.Inputs[0].Contents = raw, &inference.InferTensorContents{} // as MLServer's client writes it
		sameTensors(t, "raw contents beside empty ones", call(t, s.grpc, q).Outputs, want.Outputs)
		q.Inputs[0].Contents.Fp32Contents = slices.Repeat([]float32{1}, 16)
		q.RawInputContents = raw
		refuses(t, s, q, `InvalidArgument: input "x": it has contents and raw contents`)
		q.RawInputContents = slices.Repeat(raw, 2)
		refuses(t, s, q, `InvalidArgument: 2 raw contents for 1 tensors`)
		q.RawInputContents, q.Inputs[0].Contents.Fp32Contents = nil, []float32{1}
		refuses(t, s, q, `InvalidArgument: input "x": 1 elements for FP32 [1 16], want 16`)
		q.Inputs[0].Datatype = "FP64"
		refuses(t, s, q, `InvalidArgument: input "x": its contents are of [FP32], its datatype is FP64`)
		q.Inputs[0].Datatype, q.Inputs[0].Contents = "FP16", nil
		refuses(t, s, q, `InvalidArgument: input "x": FP16 has no contents`)
		q.Inputs[0].Datatype, q.Inputs[0].Shape = "FP32", []int64{-1, 16}
		refuses(t, s, q, `InvalidArgument: input "x": shape [-1 16] has a negative dimension`)
	}},
	{"gRPC: errors have the status of what went wrong", func(t *testing.T, s *served) {
		q := grpcRow(t)
		q.Model = "nobody"
		refuses(t, s, q.Message(), `NotFound: there is no model "nobody"`)
		q.Model = "asleep"
		refuses(t, s, q.Message(), `Unavailable: it is starting`)
		q.Model, q.Inputs = "digits", nil
		refuses(t, s, q.Message(), `InvalidArgument: the input x is missing`)
	}},
	{"gRPC: parameters are bool, int64, uint64, double or string", func(t *testing.T, s *served) {
		for want, v := range map[string]any{"": int64(2), "2": 2., "InvalidArgument: parameter \"samples\" is two": "two", "InvalidArgument: parameter \"samples\" is true": true} {
			q := grpcRow(t)
			q.Parameters = tensors.Parameters{"samples": v, "other": "x"}
			if strings.HasPrefix(want, "Invalid") {
				refuses(t, s, q.Message(), want)
			} else if out := call(t, s.grpc, q.Message()); out.Parameters["samples"] != int64(2) {
				t.Errorf("parameters %v", out.Parameters)
			}
		}
	}},
	{"gRPC: messages may have more than 4 MiB, as many as the server lets bodies have", func(t *testing.T, s *served) {
		const n = 70_000 // 4.5 MB in, and as many out
		q := grpcRow(t)
		q.Inputs = []tensors.Tensor{tensors.FromFloat32s("x", []int64{n, 16}, slices.Repeat([]float32{1}, 16*n))}
		q.Outputs = []tensors.Output{{Name: "reconstruction"}}
		if out := call(t, s.grpc, q.Message()); out.Outputs[0].N() != 16*n {
			t.Errorf("%d elements", out.Outputs[0].N())
		}
		q.Inputs[0] = tensors.FromFloat32s("x", []int64{2 * n, 16}, slices.Repeat([]float32{1}, 32*n))
		refuses(t, s, q.Message(), "ResourceExhausted")
	}},
	{"gRPC: a call of the protocol that is not offered is UNIMPLEMENTED", func(t *testing.T, s *served) {
		invoke(t, s.grpc, "/"+inference.Service+"/ModelStatistics", &inference.ModelMetadataRequest{}, &inference.ModelMetadataResponse{}, " Unimplemented")
	}},
	{"gRPC: a call's deadline ends it", func(t *testing.T, s *served) {
		g := both()
		g.models[1].fail = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := dial(t, serveGRPC(t, g, oip.Options{})).Invoke(ctx, inference.ModelInfer, grpcRow(t).Message(), &inference.ModelInferResponse{})
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("error %v", err)
		}
	}},
	{"repository, gRPC: RepositoryIndex lists models, or only those ready", func(t *testing.T, s *served) {
		ready := `{"name":"digits","version":"1","state":"READY"},{"name":"digits","version":"2","state":"READY"},{"name":"lo/ans","version":"1","state":"READY"}`
		invoke(t, s.root, inference.RepositoryIndex, &inference.RepositoryIndexRequest{}, &inference.RepositoryIndexResponse{}, `{"models":[`+ready+`,{"name":"asleep","version":"1","state":"UNAVAILABLE","reason":"it is starting"}]}`)
		invoke(t, s.root, inference.RepositoryIndex, &inference.RepositoryIndexRequest{Ready: true}, &inference.RepositoryIndexResponse{}, `{"models":[`+ready+`]}`)
		invoke(t, s.grpc, inference.RepositoryIndex, &inference.RepositoryIndexRequest{}, &inference.RepositoryIndexResponse{}, " PermissionDenied")
	}},
	{"repository, gRPC: RepositoryModelLoad and Unload change one model, named as Triton or as KServe does", func(t *testing.T, s *served) {
		g := both()
		c := dial(t, serveGRPC(t, g, oip.Options{Admin: true}))
		invoke(t, c, inference.RepositoryModelLoad, &inference.RepositoryModelLoadRequest{ModelName: "digits"}, &inference.RepositoryModelLoadResponse{}, `{"model_name":"digits","is_loaded":true}`)
		invoke(t, c, inference.RepositoryModelUnload, &inference.RepositoryModelUnloadRequest{RepositoryName: "lo/ans"}, &inference.RepositoryModelUnloadResponse{}, `{"model_name":"lo/ans","is_unloaded":true}`)
		invoke(t, c, inference.RepositoryModelLoad, &inference.RepositoryModelLoadRequest{ModelName: "nobody"}, &inference.RepositoryModelLoadResponse{}, " NotFound")
		g.broken = io.ErrUnexpectedEOF
		invoke(t, c, inference.RepositoryModelLoad, &inference.RepositoryModelLoadRequest{ModelName: "digits"}, &inference.RepositoryModelLoadResponse{}, " FailedPrecondition: unexpected EOF")
		if got := strings.Join(g.loads, ", "); got != "load digits, unload lo/ans, load nobody, load digits" {
			t.Errorf("the models were told to %s", got)
		}
		invoke(t, s.grpc, inference.RepositoryModelLoad, &inference.RepositoryModelLoadRequest{ModelName: "digits"}, &inference.RepositoryModelLoadResponse{}, " PermissionDenied")
	}},
	{"grpc.health.v1: Check, List and Watch know the server, the service and the models", func(t *testing.T, s *served) {
		h := healthpb.NewHealthClient(s.grpc)
		for name, want := range map[string]healthpb.HealthCheckResponse_ServingStatus{
			"": healthpb.HealthCheckResponse_NOT_SERVING, inference.Service: healthpb.HealthCheckResponse_NOT_SERVING, // a model is asleep
			"digits": healthpb.HealthCheckResponse_SERVING, "asleep": healthpb.HealthCheckResponse_NOT_SERVING,
		} {
			if r, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name}); err != nil || r.Status != want {
				t.Errorf("%q: %v, error %v, want %v", name, r, err, want)
			}
		}
		if _, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nobody"}); status.Code(err) != codes.NotFound {
			t.Errorf("nobody: error %v", err)
		}
		list, err := h.List(t.Context(), &healthpb.HealthListRequest{})
		if err != nil || len(list.Statuses) != 5 || list.Statuses["lo/ans"].Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("list %v, error %v", list, err)
		}
		g := both()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w, err := healthpb.NewHealthClient(dial(t, serveGRPC(t, g, oip.Options{}))).Watch(ctx, &healthpb.HealthCheckRequest{Service: "digits"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING} {
			if r, err := w.Recv(); err != nil || r.Status != want {
				t.Fatalf("%v, error %v, want %v", r, err, want)
			}
			g.mu.Lock()
			if g.unready == nil {
				g.unready = map[string]string{"digits": "it drains"}
			} else {
				g.unready = nil
			}
			g.mu.Unlock()
		}
	}},
	{"reflection: tells of the service and its messages under the protocol's own names", func(t *testing.T, s *served) {
		stream, err := reflectionpb.NewServerReflectionClient(s.grpc).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ask := func(r *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
			if err := stream.Send(r); err != nil {
				t.Fatal(err)
			}
			out, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		var names []string
		for _, n := range ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
			names = append(names, n.Name)
		}
		if want := []string{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", inference.Service}; !slices.Equal(names, want) {
			t.Errorf("services %v, want %v", names, want)
		}
		for _, symbol := range []string{inference.Service, "inference.ModelInferRequest"} {
			files := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}}).GetFileDescriptorResponse().GetFileDescriptorProto()
			if len(files) != 1 {
				t.Fatalf("%s: %d files", symbol, len(files))
			}
			var f descriptorpb.FileDescriptorProto
			if err := proto.Unmarshal(files[0], &f); err != nil || f.GetPackage() != "inference" || f.Service[0].Method[5].GetInputType() != ".inference.ModelInferRequest" {
				t.Errorf("%s: %v, error %v", symbol, &f, err)
			}
		}
	}},
}
