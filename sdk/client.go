package sdk

import (
	"context"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Client is the host's end of the protocol: one call of a method is one call
// on the wire, in the plugin's own layout, with errors of the kinds in this
// package. It neither cuts batches nor tries again; the host's launcher does.
// Its methods may be called concurrently.
type Client struct {
	rpc proto.ClassifierClient
}

var (
	_ Differentiable = (*Client)(nil)
	_ Trainable      = (*Client)(nil)
)

// NewClient speaks over conn, which should have been dialled with DialOptions.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{rpc: proto.NewClassifierClient(conn)}
}

// Info asks for the description.
func (c *Client) Info(ctx context.Context) (Info, error) {
	m, err := c.rpc.Describe(ctx, &proto.DescribeRequest{})
	if err != nil {
		return Info{}, fromStatus(err)
	}
	return infoFromWire(m)
}

// Configure hands over the settings. What the plugin refuses comes back as
// Diagnostics.
func (c *Client) Configure(ctx context.Context, conf Config) error {
	m, err := c.rpc.Configure(ctx, &proto.ConfigureRequest{
		ConfigJson: conf.JSON, BaseDir: conf.BaseDir, InputShape: dims(conf.InputShape), Classes: int64(conf.Classes), Seed: conf.Seed,
	})
	if err != nil {
		return fromStatus(err)
	}
	if len(m.Diagnostics) == 0 {
		return nil
	}
	d := make(Diagnostics, len(m.Diagnostics))
	for i, x := range m.Diagnostics {
		d[i] = Diagnostic{Pointer: x.Pointer, Message: x.Message}
	}
	return d
}

// Predict asks for the output alone.
func (c *Client) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	outs, err := c.Outputs(ctx, x)
	if err != nil {
		return nil, err
	}
	return outs[Output], nil
}

// Outputs asks for named outputs; no name means Output.
func (c *Client) Outputs(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error) {
	m, err := c.rpc.Predict(ctx, &proto.PredictRequest{X: toWire(x), Outputs: outputs})
	if err != nil {
		return nil, fromStatus(err)
	}
	return named(m, x.N(), outputs)
}

// Gradient pulls a cotangent of the output back.
func (c *Client) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	return c.Pull(ctx, x, map[string]*tensor.Tensor{Output: dy})
}

// Pull pulls cotangents of named outputs back in one call without a tape.
func (c *Client) Pull(ctx context.Context, x *tensor.Tensor, cotangents map[string]*tensor.Tensor) (*tensor.Tensor, error) {
	m, err := c.rpc.Gradient(ctx, &proto.GradientRequest{X: toWire(x), Cotangents: mapToWire(cotangents)})
	if err != nil {
		return nil, fromStatus(err)
	}
	return answered("dx", m.Dx, x.Shape)
}

// Stream opens a Differentiate stream. It is to be used by one goroutine at a
// time and ends with ctx or Close.
func (c *Client) Stream(ctx context.Context) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s, err := c.rpc.Differentiate(ctx)
	if err != nil {
		cancel()
		return nil, fromStatus(err)
	}
	return &Stream{rpc: s, cancel: cancel}, nil
}

// Stream is one lane of forward and backward steps with one live tape. After
// an error it is dead and must be closed.
type Stream struct {
	rpc    proto.Classifier_DifferentiateClient
	cancel context.CancelFunc
}

// Forward frees the last tape and makes a new one.
func (s *Stream) Forward(x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error) {
	r := &proto.PredictRequest{X: toWire(x), Outputs: outputs}
	m, err := s.step(&proto.DifferentiateRequest{Step: &proto.DifferentiateRequest_Forward{Forward: r}})
	if err != nil {
		return nil, err
	}
	return named(m.GetOutputs(), x.N(), outputs)
}

// Backward pulls cotangents back through the live tape; shape is that of dx.
func (s *Stream) Backward(cotangents map[string]*tensor.Tensor, shape tensor.Shape) (*tensor.Tensor, error) {
	r := &proto.CotangentRequest{Cotangents: mapToWire(cotangents)}
	m, err := s.step(&proto.DifferentiateRequest{Step: &proto.DifferentiateRequest_Backward{Backward: r}})
	if err != nil {
		return nil, err
	}
	return answered("dx", m.GetDx(), shape)
}

func (s *Stream) step(r *proto.DifferentiateRequest) (*proto.DifferentiateResponse, error) {
	if err := s.rpc.Send(r); err != nil && !errors.Is(err, io.EOF) {
		return nil, fromStatus(err)
	}
	m, err := s.rpc.Recv() // after an EOF of Send this has the cause
	if errors.Is(err, io.EOF) {
		return nil, Errorf(Unavailable, "the plugin ended the stream")
	}
	return m, fromStatus(err)
}

// Close ends the stream and frees its tape. It may be called during a step,
// which then fails.
func (s *Stream) Close() { s.cancel() }

// Fit sends the rows and reports progress until the plugin is done.
func (c *Client) Fit(ctx context.Context, data TrainingData, o FitOptions) (FitDone, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Fit(ctx)
	if err != nil {
		return FitDone{}, fromStatus(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- sendFit(stream, data, o) }()
	for {
		e, err := stream.Recv()
		if err != nil {
			select {
			case failed := <-sent: // an EOF of Send: Recv has the cause
				if failed != nil && !errors.Is(failed, io.EOF) {
					return FitDone{}, fromStatus(failed)
				}
			default:
			}
			if errors.Is(err, io.EOF) {
				return FitDone{}, Errorf(Internal, "fit: the plugin ended the stream before it was done")
			}
			return FitDone{}, fromStatus(err)
		}
		if p := e.GetProgress(); p != nil && o.Progress != nil {
			o.Progress(FitProgress{Epoch: int(p.Epoch), Step: int(p.Step), Steps: int(p.Steps), Metrics: p.Metrics})
		}
		if m := e.GetDone(); m != nil {
			done := FitDone{ConfigJSON: m.ConfigJson, Digest: m.Digest}
			for _, f := range m.Files {
				done.Files = append(done.Files, FitFile{Name: f.Name, SHA256: f.Sha256})
			}
			return done, nil
		}
	}
}

func sendFit(stream proto.Classifier_FitClient, data TrainingData, o FitOptions) error {
	m := &proto.FitOptions{OptionsJson: o.JSON, Seed: o.Seed, OutputDir: o.OutputDir, NTrain: int64(data.X.N())}
	if data.ValX != nil {
		m.NValidation = int64(data.ValX.N())
	}
	if err := stream.Send(&proto.FitRequest{Step: &proto.FitRequest_Options{Options: m}}); err != nil {
		return err
	}
	if err := sendRows(stream, data.X, data.Labels, proto.Split_TRAIN); err != nil {
		return err
	}
	if data.ValX != nil {
		if err := sendRows(stream, data.ValX, data.ValLabels, proto.Split_VALIDATION); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}

func sendRows(stream proto.Classifier_FitClient, x *tensor.Tensor, labels []int, split proto.Split) error {
	const overhead = 1 << 12 // shape, tags and lengths
	step := max(1, (fitMessage-overhead)/max(1, 4*x.Stride()+8))
	for lo := 0; lo < x.N(); lo += step {
		hi := min(lo+step, x.N())
		m := &proto.FitRows{X: toWire(x.Rows(lo, hi)), Labels: labelsToWire(labels[lo:hi]), Split: split}
		if err := stream.Send(&proto.FitRequest{Step: &proto.FitRequest_Rows{Rows: m}}); err != nil {
			return err
		}
	}
	return nil
}

// named checks that the plugin answered what was asked, for n rows.
func named(m *proto.PredictResponse, n int, names []string) (map[string]*tensor.Tensor, error) {
	outs, err := mapFromWire(m.GetOutputs())
	if err != nil {
		return nil, Errorf(Internal, "the plugin's answer: %w", err)
	}
	if len(names) == 0 {
		names = []string{Output}
	}
	for _, name := range names {
		if t := outs[name]; t == nil || t.N() != n {
			return nil, Errorf(Internal, "the plugin's answer has no %q of %d rows", name, n)
		} else if i := notFinite(t.Data); i >= 0 {
			return nil, Errorf(Internal, "the plugin's %s has %v in row %d", name, t.Data[i], i/t.Stride())
		}
	}
	for name := range outs {
		if !slices.Contains(names, name) {
			delete(outs, name)
		}
	}
	return outs, nil
}

// answered decodes and checks a tensor of a known shape.
func answered(name string, m *proto.Tensor, shape tensor.Shape) (*tensor.Tensor, error) {
	t, err := fromWire(name, m)
	if err != nil {
		return nil, Errorf(Internal, "the plugin's answer: %w", err)
	}
	if !t.Shape.Equal(shape) {
		return nil, Errorf(Internal, "the plugin's %s has shape %v, want %v", name, t.Shape, shape)
	}
	if i := notFinite(t.Data); i >= 0 {
		return nil, Errorf(Internal, "the plugin's %s has %v in row %d", name, t.Data[i], i/t.Stride())
	}
	return t, nil
}
