package sdk

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// NewServer is what Serve runs, without the process: a gRPC server that answers
// the protocol's calls from c, with everything that Serve does for an author:
// batches are cut to Info.MaxBatch, shapes and finiteness are checked, panics
// become Internal errors. It is for tests, as package sdktest has them, and for
// a classifier served alongside other services. o is added to the options that
// the protocol needs.
func NewServer(c Classifier, o ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(append(o, serverOptions()...)...)
	proto.RegisterClassifierServer(s, &server{c: c})
	return s
}

// serverOptions lift the message limit, widen the windows, recover panics and
// give errors their codes.
func serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.InitialWindowSize(wire.StreamWindow), grpc.InitialConnWindowSize(wire.ConnectionWindow),
		grpc.WriteBufferSize(wire.BufferSize), grpc.ReadBufferSize(wire.BufferSize),
		grpc.ChainUnaryInterceptor(guardUnary), grpc.ChainStreamInterceptor(guardStream),
	}
}

// served is the classifier's entry in the plugin's go-plugin PluginSet. The
// server that Serve makes has the classifier already.
type served struct {
	plugin.NetRPCUnsupportedPlugin
}

var _ plugin.GRPCPlugin = served{}

func (served) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }

func (served) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("sdk: a plugin does not call itself")
}

func guardUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer recovered(&err)
	return handler(ctx, req)
}

func guardStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer recovered(&err)
	return handler(srv, stream)
}

// recovered turns a panic into an Internal error, with the stack on stderr,
// and gives every error its code.
func recovered(err *error) {
	if p := recover(); p != nil {
		_, _ = os.Stderr.WriteString("the classifier panicked; the call fails, the plugin keeps running:\n" + string(debug.Stack()))
		*err = Errorf(Internal, "the classifier panicked: %v", p)
	}
	if _, ok := status.FromError(*err); !ok {
		*err = toStatus(*err)
	}
}
