package oip

import (
	"context"
	"errors"
	"math"
	"net"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	alphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// maxParts is the most tensors, parameters and texts of one message.
const maxParts = 1 << 20

// ServerOptions are what a server needs that Register puts the service on: messages
// as large as o lets bodies be, of which gRPC itself takes 4 MiB.
func ServerOptions(o Options) []grpc.ServerOption {
	return []grpc.ServerOption{grpc.MaxRecvMsgSize(int(min(o.body(), math.MaxInt32))), grpc.MaxSendMsgSize(math.MaxInt32)}
}

// Register puts the protocol on a server made with ServerOptions, beside it
// grpc.health.v1, which knows models by their names, and reflection.
func Register(server *grpc.Server, models judge.Models, o Options) error {
	s := &service{Options: o, models: models}
	descriptors, err := inference.Descriptors()
	if err != nil {
		return err
	}
	inference.Register(server,
		inference.Method(inference.ServerLive, s.serverLive),
		inference.Method(inference.ServerReady, s.serverReady),
		inference.Method(inference.ServerMetadata, s.serverMetadata),
		inference.Method(inference.ModelReady, s.modelReadyCall),
		inference.Method(inference.ModelMetadata, s.modelMetadata),
		inference.Infer(maxParts, s.admitCall, s.modelInfer),
		inference.Method(inference.RepositoryIndex, s.repositoryIndex),
		inference.Method(inference.RepositoryModelLoad, s.repositoryLoad),
		inference.Method(inference.RepositoryModelUnload, s.repositoryUnload),
	)
	healthpb.RegisterHealthServer(server, &health{service: s})
	about := reflection.ServerOptions{Services: server, DescriptorResolver: descriptors}
	reflectionpb.RegisterServerReflectionServer(server, reflection.NewServerV1(about))
	alphapb.RegisterServerReflectionServer(server, reflection.NewServer(about)) // what grpcurl of a while ago asks
	return nil
}

// ModelCalls are the calls of the protocol that name a model, for a server that takes them for some models and passes them on
// for others.
func ModelCalls(models judge.Models, o Options) []grpc.MethodDesc {
	s := &service{Options: o, models: models}
	return []grpc.MethodDesc{inference.Method(inference.ModelReady, s.modelReadyCall), inference.Method(inference.ModelMetadata, s.modelMetadata), inference.Infer(maxParts, s.admitCall, s.modelInfer)}
}

// reply is an answer, or the error as gRPC has it.
func reply[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, faultOf(err).grpc()
	}
	return v, nil
}

func (s *service) serverLive(context.Context, *inference.ServerLiveRequest) (*inference.ServerLiveResponse, error) {
	return &inference.ServerLiveResponse{Live: true}, nil
}

func (s *service) serverReady(context.Context, *inference.ServerReadyRequest) (*inference.ServerReadyResponse, error) {
	return &inference.ServerReadyResponse{Ready: s.ready()}, nil
}

func (s *service) serverMetadata(context.Context, *inference.ServerMetadataRequest) (*inference.ServerMetadataResponse, error) {
	m := s.server()
	return &inference.ServerMetadataResponse{Name: m.Name, Version: m.Version, Extensions: m.Extensions}, nil
}

func (s *service) modelReadyCall(_ context.Context, r *inference.ModelReadyRequest) (*inference.ModelReadyResponse, error) {
	ready, err := s.modelReady(r.Name, r.Version)
	return reply(&inference.ModelReadyResponse{Ready: ready}, err)
}

func (s *service) modelMetadata(_ context.Context, r *inference.ModelMetadataRequest) (*inference.ModelMetadataResponse, error) {
	m, err := s.metadata(r.Name, r.Version)
	ports := func(list []port) []*inference.ModelMetadataResponse_TensorMetadata {
		var out []*inference.ModelMetadataResponse_TensorMetadata
		for _, p := range list {
			out = append(out, &inference.ModelMetadataResponse_TensorMetadata{Name: p.Name, Datatype: string(p.Datatype), Shape: p.Shape})
		}
		return out
	}
	return reply(&inference.ModelMetadataResponse{Name: m.Name, Versions: m.Versions, Platform: m.Platform, Inputs: ports(m.Inputs), Outputs: ports(m.Outputs)}, err)
}

// The ways that requests come.
const (
	wayHTTP = "http"
	wayGRPC = "grpc"
)

// admitCall fails before a message is decoded whose model has no room for it.
func (s *service) admitCall(ctx context.Context, model, version string) error {
	var over *judge.OverloadedError
	if err := s.admit(ctx, wayGRPC, caller(ctx), model, version); errors.As(err, &over) { // other faults are told after those of the message
		return faultOf(err).grpc()
	}
	s.yield()
	return nil
}

// Refuse is what an error of package judge is over gRPC.
func Refuse(err error) error { return faultOf(err).grpc() }

func (s *service) modelInfer(ctx context.Context, m *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	q, err := tensors.FromRequest(m, tensors.Limits{})
	if err != nil {
		return reply[inference.ModelInferResponse](nil, malformed(err))
	}
	out, err := s.infer(ctx, wayGRPC, caller(ctx), q)
	if err != nil {
		return reply[inference.ModelInferResponse](nil, err)
	}
	return out.Message(), nil
}

// caller is the address that a call comes from, without its port.
func caller(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	if a, ok := p.Addr.(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return peerOf(p.Addr.String())
}

func (s *service) repositoryIndex(_ context.Context, r *inference.RepositoryIndexRequest) (*inference.RepositoryIndexResponse, error) {
	if err := s.admin(); err != nil {
		return reply[inference.RepositoryIndexResponse](nil, err)
	}
	out := &inference.RepositoryIndexResponse{}
	for _, m := range s.index(r.Ready) {
		out.Models = append(out.Models, &inference.RepositoryIndexResponse_ModelIndex{Name: m.Name, Version: m.Version, State: stateOf(m), Reason: m.Reason})
	}
	return out, nil
}

// nameOf is the model that a call of the repository is about: KServe's clients write
// it where Triton's have the repository.
func nameOf(repository, model string) string {
	if model == "" {
		return repository
	}
	return model
}

func (s *service) repositoryLoad(ctx context.Context, r *inference.RepositoryModelLoadRequest) (*inference.RepositoryModelLoadResponse, error) {
	name := nameOf(r.RepositoryName, r.ModelName)
	return reply(&inference.RepositoryModelLoadResponse{ModelName: name, IsLoaded: true}, s.changeModel(ctx, name, true))
}

func (s *service) repositoryUnload(ctx context.Context, r *inference.RepositoryModelUnloadRequest) (*inference.RepositoryModelUnloadResponse, error) {
	name := nameOf(r.RepositoryName, r.ModelName)
	return reply(&inference.RepositoryModelUnloadResponse{ModelName: name, IsUnloaded: true}, s.changeModel(ctx, name, false))
}
