package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// frame is a message as it is on the wire.
type frame struct{ b []byte }

// raw is a codec that leaves messages as they are.
type raw struct{}

var _ encoding.CodecV2 = raw{}

var errFrame = errors.New("proxy: what is sent is no frame")

// Marshal implements encoding.CodecV2.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, errFrame
	}
	return mem.BufferSlice{mem.SliceBuffer(f.b)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return errFrame
	}
	f.b = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2: what passes is the protocol's.
func (raw) Name() string { return "proto" }

// dial makes a connection that comes up when it is used.
func dial(at string) (*grpc.ClientConn, error) {
	secure := insecure.NewCredentials()
	if rest, ok := strings.CutPrefix(at, "grpcs://"); ok {
		at, secure = rest, credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	if !strings.HasPrefix(at, "unix:") {
		at = "dns:///" + strings.TrimPrefix(at, "grpc://")
	}
	return grpc.NewClient(at, grpc.WithTransportCredentials(secure), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{}), grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
}

// ServerOptions are those of a gRPC server whose calls all pass the proxy: services that
// are registered on it would be answered with its codec.
func (p *Proxy) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(p.Call), grpc.MaxRecvMsgSize(int(min(p.o.MaxBody, math.MaxInt32))), grpc.MaxSendMsgSize(math.MaxInt32)}
}

// Call is a grpc.StreamHandler of all methods.
func (p *Proxy) Call(_ any, s grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(s)
	if !ok {
		return status.Error(codes.Internal, "the call has no name")
	}
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	ctx = p.outgoing(ctx)
	if method == inference.ModelInfer {
		return p.infer(ctx, s)
	}
	asks, field := routeCall(method)
	if asks == beside && p.closed(nil) {
		p.counts.refused.Add(1)
		return status.Error(codes.PermissionDenied, "this way of asking a model is not judged, and so refused: use ModelInfer")
	}
	p.counts.passed.Add(1)
	conn := p.models()[0].conn
	var first *frame
	if field > 0 && (p.several() || asks == passes && p.o.Own != nil) { // nobody waits for the first message of a stream without need
		first = &frame{}
		switch err := s.RecvMsg(first); {
		case errors.Is(err, io.EOF):
			first = nil
		case err != nil:
			return err
		default:
			name, whole := inference.Text(first.b, field)
			if !whole {
				p.counts.refused.Add(1)
				return status.Error(codes.InvalidArgument, noMessage)
			}
			if p.has(name) {
				return p.ownCall(s, method, first)
			}
			if t := p.of(name); t != nil {
				conn = t.conn
			}
		}
	}
	return p.stream(ctx, s, method, conn, first)
}

// several reports whether models have more than one server over gRPC: else what a call goes to hangs on no
// message of it.
func (p *Proxy) several() bool {
	all := p.models()
	return slices.ContainsFunc(all, func(t *target) bool { return t.conn != all[0].conn })
}

// outgoing has the caller's metadata, but for what belongs to its connection.
func (p *Proxy) outgoing(ctx context.Context) context.Context {
	in, _ := metadata.FromIncomingContext(ctx)
	out := in.Copy()
	for name := range out {
		if strings.HasPrefix(name, ":") || strings.HasPrefix(name, "grpc-") && name != "grpc-trace-bin" && name != "grpc-tags-bin" ||
			name == "content-type" || name == "te" || name == "connection" || name == "host" || name == "authorization" && p.o.StripAuthorization {
			delete(out, name)
		}
	}
	return metadata.NewOutgoingContext(ctx, out)
}

// stream passes a call on, message for message, both ways. first is one that was received already; nil: none was.
func (p *Proxy) stream(ctx context.Context, s grpc.ServerStream, method string, conn *grpc.ClientConn, first *frame) (err error) {
	if conn == nil {
		return status.Error(codes.Unimplemented, "the model's server has no gRPC here")
	}
	ctx, ended := p.tracedCall(ctx)
	defer func() { ended(err) }()
	c, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	if first != nil {
		_ = c.SendMsg(first) // RecvMsg has why
	}
	go func() { // ends with the call
		for {
			f := &frame{}
			if err := s.RecvMsg(f); err != nil {
				if errors.Is(err, io.EOF) {
					_ = c.CloseSend() // never fails
				}
				return // else the caller's context is done, and with it the call
			}
			if c.SendMsg(f) != nil {
				return // RecvMsg has why
			}
		}
	}()
	if head, err := c.Header(); err == nil && len(head) > 0 {
		if err := s.SendHeader(ofCall(head)); err != nil {
			return err
		}
	}
	for {
		f := &frame{}
		if err := c.RecvMsg(f); err != nil {
			s.SetTrailer(c.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.SendMsg(f); err != nil {
			return err
		}
	}
}
