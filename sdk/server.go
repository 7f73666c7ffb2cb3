package sdk

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// server answers the protocol's calls from a Classifier.
type server struct {
	proto.UnimplementedClassifierServer
	c Classifier

	mu    sync.RWMutex // Configure and Fit run alone
	epoch int          // how many Configures and Fits there were: a tape does not outlive one

	infoMu sync.Mutex
	info   *Info // of a classifier that is ready, asked once per epoch
}

func (s *server) Describe(ctx context.Context, _ *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, err := s.c.Info(ctx)
	if err != nil {
		return nil, err
	}
	i = describe(i, s.c)
	if i.Ready {
		if err := i.Validate(); err != nil {
			return nil, Errorf(Internal, "the classifier's Info: %w", err)
		}
	}
	return i.encode(), nil
}

func (s *server) Configure(ctx context.Context, r *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	shape, _, err := wire.Shape(r.InputShape)
	if err != nil {
		return nil, Errorf(InvalidArgument, "input shape: %v", err)
	}
	if len(shape) == 0 {
		shape = nil
	}
	c := Config{JSON: r.ConfigJson, BaseDir: r.BaseDir, InputShape: shape, Classes: int(r.Classes), Seed: r.Seed}
	conf, ok := s.c.(Configurable)
	var schema []byte
	if ok {
		schema = conf.Schema()
	}
	err = CheckConfig(schema, c.JSON)
	if err == nil && ok {
		err = conf.Configure(ctx, c)
	}
	var d Diagnostics
	if errors.As(err, &d) {
		m := &proto.ConfigureResponse{}
		for _, x := range d {
			m.Diagnostics = append(m.Diagnostics, &proto.Diagnostic{Pointer: x.Pointer, Message: x.Message})
		}
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	return &proto.ConfigureResponse{}, nil
}

func (s *server) Predict(ctx context.Context, r *proto.PredictRequest) (*proto.PredictResponse, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	info, x, names, err := s.request(ctx, r)
	if err != nil {
		return nil, err
	}
	outs, err := s.outputs(ctx, info, x, names)
	if err != nil {
		return nil, err
	}
	return &proto.PredictResponse{Outputs: wire.EncodeMap(outs)}, nil
}

func (s *server) Gradient(ctx context.Context, r *proto.GradientRequest) (*proto.GradientResponse, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	info, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	if info.Gradient == NoGradient {
		return nil, Errorf(Unimplemented, "this classifier has no gradient")
	}
	x, err := input(info, r.X)
	if err != nil {
		return nil, err
	}
	cots, err := cotangents(info, r.Cotangents, x.N())
	if err != nil {
		return nil, err
	}
	dx, outs, err := s.gradient(ctx, info, x, cots)
	if err != nil {
		return nil, err
	}
	return &proto.GradientResponse{Dx: wire.Encode(dx), Outputs: wire.EncodeMap(outs)}, nil
}

func (s *server) Differentiate(stream grpc.BidiStreamingServer[proto.DifferentiateRequest, proto.DifferentiateResponse]) error {
	if _, ok := s.c.(Forwarder); !ok {
		return Errorf(Unimplemented, "this classifier does not serve Differentiate")
	}
	var t *tape
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var m *proto.DifferentiateResponse
		if f := r.GetForward(); f != nil {
			if t != nil {
				*t = tape{} // freed before the next is made
			}
			t, m, err = s.tape(stream.Context(), f)
		} else if b := r.GetBackward(); b != nil {
			m, err = s.pull(stream.Context(), t, b)
		} else {
			err = Errorf(InvalidArgument, "neither forward nor backward")
		}
		if err != nil {
			return err
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
}

// tape is what one forward step leaves for its backward steps.
type tape struct {
	epoch int
	info  *Info
	x     *tensor.Tensor
	names []string
	pull  Pullback // nil: x was cut, so that each backward goes forward again
}

func (s *server) tape(ctx context.Context, r *proto.PredictRequest) (*tape, *proto.DifferentiateResponse, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	info, x, names, err := s.request(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	t := &tape{epoch: s.epoch, info: info, x: x, names: names}
	var outs map[string]*tensor.Tensor
	if n := x.N(); n > 0 && n <= chunk(info, n) {
		outs, t.pull, err = s.forward(ctx, info, x, names)
	} else {
		outs, err = s.outputs(ctx, info, x, names)
	}
	if err != nil {
		return nil, nil, err
	}
	m := &proto.PredictResponse{Outputs: wire.EncodeMap(outs)}
	return t, &proto.DifferentiateResponse{Step: &proto.DifferentiateResponse_Outputs{Outputs: m}}, nil
}

func (s *server) pull(ctx context.Context, t *tape, r *proto.CotangentRequest) (*proto.DifferentiateResponse, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t == nil || t.epoch != s.epoch {
		return nil, Errorf(FailedPrecondition, "backward without a forward")
	}
	if t.info.Gradient == NoGradient {
		return nil, Errorf(Unimplemented, "this classifier has no gradient")
	}
	cots, err := cotangents(t.info, r.Cotangents, t.x.N())
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(cots)) {
		if !slices.Contains(t.names, name) {
			return nil, Errorf(InvalidArgument, "cotangent of %q: the forward did not ask for it", name)
		}
	}
	var dx *tensor.Tensor
	if t.pull != nil {
		dx, err = t.pull(ctx, cots)
		if err == nil {
			err = checkOutput("dx", dx, t.x.N(), t.x.Example())
		}
	} else {
		dx, _, err = s.gradient(ctx, t.info, t.x, cots)
	}
	if err != nil {
		return nil, err
	}
	return &proto.DifferentiateResponse{Step: &proto.DifferentiateResponse_Dx{Dx: wire.Encode(dx)}}, nil
}

// request reads what Predict and a forward step have in common.
func (s *server) request(ctx context.Context, r *proto.PredictRequest) (*Info, *tensor.Tensor, []string, error) {
	info, err := s.ready(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	x, err := input(info, r.X)
	if err != nil {
		return nil, nil, nil, err
	}
	names := slices.Compact(slices.Sorted(slices.Values(r.Outputs)))
	if len(names) == 0 {
		names = []string{Output}
	}
	for _, name := range names {
		if _, err := info.OutputShape(name); err != nil {
			return nil, nil, nil, err
		}
	}
	return info, x, names, nil
}

// ready is the description of a classifier that can answer.
func (s *server) ready(ctx context.Context) (*Info, error) {
	s.infoMu.Lock()
	defer s.infoMu.Unlock()
	if s.info != nil {
		return s.info, nil
	}
	i, err := s.c.Info(ctx)
	if err != nil {
		return nil, err
	}
	i = describe(i, s.c)
	if !i.Ready {
		if i.Trainable {
			return nil, Errorf(FailedPrecondition, "the classifier is not trained")
		}
		return nil, Errorf(FailedPrecondition, "the classifier is not configured")
	}
	if err := i.Validate(); err != nil {
		return nil, Errorf(Internal, "the classifier's Info: %w", err)
	}
	s.info = &i
	return s.info, nil
}

// forget drops what Configure and Fit change. The caller holds s.mu.
func (s *server) forget() {
	s.epoch++
	s.infoMu.Lock()
	s.info = nil
	s.infoMu.Unlock()
}
