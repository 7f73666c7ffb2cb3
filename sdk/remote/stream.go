package remote

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Stream opens a Differentiate stream for answers of at most wire.MaxAnswer bytes.
// It is to be used by one goroutine at a time and ends with ctx or Close.
func (c *Client) Stream(ctx context.Context) (*Stream, error) { return c.StreamRows(ctx, 0) }

// StreamRows is Stream for steps of up to n rows that ask for the named outputs, none
// meaning Output, whatever their answers need.
func (c *Client) StreamRows(ctx context.Context, n int, outputs ...string) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	room := max(wire.MaxAnswer, c.step(n, outputs))
	s, err := c.rpc.Differentiate(ctx, grpc.MaxCallRecvMsgSize(room))
	if err != nil {
		cancel()
		return nil, c.fromStatus(err)
	}
	return &Stream{c: c, rpc: s, cancel: cancel, room: room}, nil
}

// Stream is one lane of forward and backward steps with one live tape. After
// an error it is dead and must be closed.
type Stream struct {
	c      *Client
	room   int // bytes of an answer
	rpc    proto.Classifier_DifferentiateClient
	cancel context.CancelFunc
}

// step is the most bytes of an answer to a step: outputs, or a gradient.
func (c *Client) step(n int, outputs []string) int {
	return max(c.room(n, outputs, false), c.room(n, []string{sdk.Output}, true))
}

// Holds reports whether the answers to n rows that ask for the named outputs, none meaning
// Output, may come over the stream.
func (s *Stream) Holds(n int, outputs ...string) bool { return s.c.step(n, outputs) <= s.room }

// Forward frees the last tape and makes a new one.
func (s *Stream) Forward(x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error) {
	r := &proto.PredictRequest{X: wire.Encode(x), Outputs: outputs}
	m, err := s.step(&proto.DifferentiateRequest{Step: &proto.DifferentiateRequest_Forward{Forward: r}})
	if err != nil {
		return nil, err
	}
	return named(m.GetOutputs(), x.N(), outputs)
}

// Backward pulls cotangents back through the live tape; shape is that of dx.
func (s *Stream) Backward(cotangents map[string]*tensor.Tensor, shape tensor.Shape) (*tensor.Tensor, error) {
	r := &proto.CotangentRequest{Cotangents: wire.EncodeMap(cotangents)}
	m, err := s.step(&proto.DifferentiateRequest{Step: &proto.DifferentiateRequest_Backward{Backward: r}})
	if err != nil {
		return nil, err
	}
	return answered("dx", m.GetDx(), shape)
}

func (s *Stream) step(r *proto.DifferentiateRequest) (*proto.DifferentiateResponse, error) {
	if err := s.rpc.Send(r); err != nil && !errors.Is(err, io.EOF) {
		return nil, s.c.fromStatus(err)
	}
	m, err := s.rpc.Recv() // after an EOF of Send this has the cause
	if errors.Is(err, io.EOF) {
		return nil, sdk.Errorf(sdk.Unavailable, "the plugin ended the stream")
	}
	return m, s.c.fromStatus(err)
}

// Close ends the stream and frees its tape. It may be called during a step,
// which then fails.
func (s *Stream) Close() { s.cancel() }
