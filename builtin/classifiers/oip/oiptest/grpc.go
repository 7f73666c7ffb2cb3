package oiptest

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// Register puts the model on a gRPC server.
func (m *Model) Register(s grpc.ServiceRegistrar) {
	calls := []grpc.MethodDesc{
		inference.Method(inference.ServerMetadata, m.serverMetadata),
		inference.Method(inference.ModelReady, m.modelReady),
		inference.Method(inference.ModelMetadata, m.modelMetadata),
		inference.Method(inference.ModelInfer, m.modelInfer),
	}
	if m.Most > 0 {
		calls = append(calls, inference.Method(inference.ModelConfig, m.modelConfig))
	}
	inference.Register(s, calls...)
}

func (m *Model) serverMetadata(context.Context, *inference.ServerMetadataRequest) (*inference.ServerMetadataResponse, error) {
	return &inference.ServerMetadataResponse{Name: "oiptest", Version: "1", Extensions: m.extensions()}, nil
}

func (m *Model) modelConfig(_ context.Context, r *inference.ModelConfigRequest) (*inference.ModelConfigResponse, error) {
	return &inference.ModelConfigResponse{Config: &inference.ModelConfigResponse_ModelConfig{MaxBatchSize: int32(m.Most)}}, m.knows(r.Name, r.Version)
}

func (m *Model) knows(name, version string) error {
	if name != m.name() || version != "" && version != m.version() {
		return status.Error(codes.NotFound, errUnknown.Error())
	}
	return nil
}

func (m *Model) modelReady(_ context.Context, r *inference.ModelReadyRequest) (*inference.ModelReadyResponse, error) {
	return &inference.ModelReadyResponse{Ready: true}, m.knows(r.Name, r.Version)
}

func (m *Model) modelMetadata(ctx context.Context, r *inference.ModelMetadataRequest) (*inference.ModelMetadataResponse, error) {
	if err := m.knows(r.Name, r.Version); err != nil {
		return nil, err
	}
	in, out, err := m.ports(ctx)
	if err != nil {
		return nil, err
	}
	wire := func(p port) []*inference.ModelMetadataResponse_TensorMetadata {
		return []*inference.ModelMetadataResponse_TensorMetadata{{Name: p.Name, Datatype: p.Datatype, Shape: p.Shape}}
	}
	return &inference.ModelMetadataResponse{Name: m.name(), Versions: []string{m.version()}, Platform: "oiptest", Inputs: wire(in), Outputs: wire(out)}, nil
}

func (m *Model) modelInfer(ctx context.Context, r *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	if err := m.knows(r.ModelName, r.ModelVersion); err != nil {
		return nil, err
	}
	if len(r.Inputs) != 1 {
		return nil, status.Errorf(codes.InvalidArgument, "%d inputs, want one", len(r.Inputs))
	}
	in := r.Inputs[0]
	raw := len(r.RawInputContents) == 1
	values := in.GetContents().GetFp32Contents()
	if raw {
		values = m.decode(r.RawInputContents[0])
	} else if m.size() == 8 {
		for _, v := range in.GetContents().GetFp64Contents() {
			values = append(values, float32(v))
		}
	}
	y, err := m.predict(ctx, in.Name, in.Datatype, in.Shape, values)
	if errors.Is(err, errUnknown) || err == nil && len(r.Outputs) > 0 && r.Outputs[0].Name != m.output() {
		return nil, status.Error(codes.NotFound, errUnknown.Error())
	}
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	out := &inference.ModelInferResponse_InferOutputTensor{Name: m.output(), Datatype: m.datatype(), Shape: []int64{int64(y.N()), int64(y.Stride())}}
	answer := &inference.ModelInferResponse{ModelName: m.name(), ModelVersion: m.version(), Id: r.Id, Outputs: []*inference.ModelInferResponse_InferOutputTensor{out}}
	if raw {
		answer.RawOutputContents = [][]byte{m.encode(y.Data)}
		return answer, nil
	}
	out.Contents = &inference.InferTensorContents{}
	for _, v := range y.Data {
		if m.size() == 8 {
			out.Contents.Fp64Contents = append(out.Contents.Fp64Contents, float64(v))
		} else {
			out.Contents.Fp32Contents = append(out.Contents.Fp32Contents, v)
		}
	}
	return answer, nil
}
