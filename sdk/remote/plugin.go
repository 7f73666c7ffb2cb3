package remote

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

// DialOptions are what a connection to a plugin needs: no limit on what is sent, the
// windows that the plugin's end has, and a limit of wire.MaxAnswer on what comes,
// which calls for rows replace by what those rows can give. Headers, and with them a
// message of an error, have at most maxHeaders bytes, and what is made of a message may
// take little more memory than its bytes.
//
// go-plugin's broker is not opened: what a plugin sends there would be kept without end.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithInitialWindowSize(wire.StreamWindow), grpc.WithInitialConnWindowSize(wire.ConnectionWindow),
		grpc.WithWriteBufferSize(wire.BufferSize), grpc.WithReadBufferSize(wire.BufferSize),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxAnswer), grpc.MaxCallSendMsgSize(math.MaxInt32), grpc.ForceCodecV2(frugal{})),
		grpc.WithChainStreamInterceptor(withoutBroker),
	}
}

const (
	// maxHeaders bounds the headers of an answer, in bytes. A status may hold details
	// there, of which each takes many times its bytes.
	maxHeaders = 1 << 20
	// brokerService is go-plugin's way to further connections, which nobody here asks for.
	brokerService = "/plugin.GRPCBroker/"
	// stdioService is what a go-plugin server sends of what its program prints, in pieces
	// of 1 KiB; maxStdio is more than one has.
	stdioService = "/plugin.GRPCStdio/"
	maxStdio     = 1 << 16
)

// withoutBroker answers for go-plugin's broker that there is none, and bounds what comes of
// its standard streams.
func withoutBroker(ctx context.Context, d *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	switch {
	case strings.HasPrefix(method, brokerService):
		return nil, status.Error(codes.Unimplemented, "the host opens no connections by a broker")
	case strings.HasPrefix(method, stdioService):
		o = append(o, grpc.MaxCallRecvMsgSize(maxStdio))
	}
	return open(ctx, d, conn, method, o...)
}

// Plugin is the classifier's entry in a host's go-plugin PluginSet, under
// wire.PluginName. What it dispenses is a *Client.
type Plugin struct {
	plugin.NetRPCUnsupportedPlugin

	// Hide is text of the plugin without what nobody is to see, such as the secrets of its
	// config: messages are cut afterwards. It may be called concurrently. nil: all is seen.
	Hide func(text string) string
}

var _ plugin.GRPCPlugin = Plugin{}

// GRPCClient returns a *Client that speaks over c.
func (p Plugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	client := NewClient(c)
	client.hide = p.Hide
	return client, nil
}

// GRPCServer fails: a plugin is served by sdk.Serve.
func (Plugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("remote: the host's end of a plugin does not serve one")
}
