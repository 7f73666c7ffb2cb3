package caller

import (
	"context"
	"errors"
	"io"
	"path"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

var _ grpc.ClientConnInterface = (*link)(nil)

// Invoke implements grpc.ClientConnInterface: a call with one answer.
func (l *link) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	c, err := l.take(ctx)
	if err != nil {
		return err
	}
	var refused *refusal
	err = c.during(ctx, func() error {
		request, err := marshal(args)
		if err != nil {
			return err
		}
		if err := c.send(string([]byte{frameCall, frameMessage}), []byte(path.Base(method)), request); err != nil {
			return err
		}
		answer, err := c.receive(room(opts))
		if errors.As(err, &refused) {
			return nil // the connection is as good as before
		}
		if err != nil {
			return err
		}
		return unmarshal(answer, reply)
	})
	if err != nil {
		return err
	}
	l.give(c)
	if refused != nil {
		return refused.error
	}
	return nil
}

// NewStream implements grpc.ClientConnInterface. The stream has a connection of its
// own, which ends with ctx.
func (l *link) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c, err := l.take(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.send(string(frameCall), []byte(path.Base(method))); err != nil {
		_ = c.conn.Close()
		return nil, gone(ctx, err)
	}
	context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	return &stream{ctx: ctx, c: c, room: room(opts)}, nil
}

// stream is a call with messages to and fro.
type stream struct {
	ctx  context.Context
	c    *channel
	room int
}

// SendMsg implements grpc.ClientStream. What went wrong at the lender's is told by RecvMsg.
func (s *stream) SendMsg(m any) error {
	b, err := marshal(m)
	if err != nil {
		return err
	}
	if s.c.send(string(frameMessage), b) != nil {
		return io.EOF
	}
	return nil
}

// RecvMsg implements grpc.ClientStream.
func (s *stream) RecvMsg(m any) error {
	b, err := s.c.receive(s.room)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return refused.error
	case err != nil:
		return gone(s.ctx, err)
	}
	return unmarshal(b, m)
}

// CloseSend implements grpc.ClientStream.
func (s *stream) CloseSend() error { return s.c.conn.Close() }

// Context implements grpc.ClientStream.
func (s *stream) Context() context.Context { return s.ctx }

// Header implements grpc.ClientStream: there is none.
func (s *stream) Header() (metadata.MD, error) { return metadata.MD{}, nil }

// Trailer implements grpc.ClientStream: there is none.
func (s *stream) Trailer() metadata.MD { return nil }

// room is the largest answer that a call allows, in bytes.
func room(opts []grpc.CallOption) int {
	n := wire.MaxAnswer
	for _, o := range opts {
		if m, ok := o.(grpc.MaxRecvMsgSizeCallOption); ok {
			n = m.MaxRecvMsgSize
		}
	}
	return n
}

func marshal(m any) ([]byte, error) {
	p, ok := m.(proto.Message)
	if !ok {
		return nil, status.Errorf(codes.Internal, "%T is no message", m)
	}
	return proto.Marshal(p)
}

func unmarshal(b []byte, m any) error {
	p, ok := m.(proto.Message)
	if !ok {
		return status.Errorf(codes.Internal, "%T is no message", m)
	}
	if err := proto.Unmarshal(b, p); err != nil {
		return status.Errorf(codes.Internal, "an answer that is no message: %v", err)
	}
	return nil
}
