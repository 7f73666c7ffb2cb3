package sdk

import (
	"context"
	"math"
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// PluginName is the name under which go-plugin dispenses the classifier.
const PluginName = "classifier"

// Windows and buffers that take a third off the time of a large Predict.
const (
	streamWindow = 8 << 20
	connWindow   = 16 << 20
	bufferSize   = 1 << 20
)

// Handshake is what host and plugin must agree on before anything else.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "VAEGUARD_PLUGIN", MagicCookieValue: "classifier"}
}

// ServerOptions are what a gRPC server of a classifier needs: no message
// limit, large windows, errors with their kinds, panics recovered.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.WriteBufferSize(bufferSize), grpc.ReadBufferSize(bufferSize),
		grpc.ChainUnaryInterceptor(guardUnary), grpc.ChainStreamInterceptor(guardStream),
	}
}

// DialOptions are their counterpart in the host.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithWriteBufferSize(bufferSize), grpc.WithReadBufferSize(bufferSize),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	}
}

// Plugin is the classifier's entry in a go-plugin PluginSet. The host leaves
// Impl nil and dispenses a *Client.
type Plugin struct {
	plugin.NetRPCUnsupportedPlugin
	Impl Classifier
}

var _ plugin.GRPCPlugin = Plugin{}

// GRPCServer registers Impl.
func (p Plugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	Register(s, p.Impl)
	return nil
}

// GRPCClient returns a *Client.
func (Plugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return NewClient(c), nil
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
		_, _ = os.Stderr.WriteString("the classifier panicked; the call fails, the plugin goes on:\n" + string(debug.Stack()))
		*err = Errorf(Internal, "the classifier panicked: %v", p)
	}
	if _, ok := status.FromError(*err); !ok {
		*err = toStatus(*err)
	}
}
