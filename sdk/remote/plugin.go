package remote

import (
	"context"
	"errors"
	"math"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

// DialOptions are what a connection to a plugin needs: no limit on what is sent, the
// windows that the plugin's end has, and a limit of wire.MaxAnswer on what comes,
// which calls for rows replace by what those rows can give.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithInitialWindowSize(wire.StreamWindow), grpc.WithInitialConnWindowSize(wire.ConnectionWindow),
		grpc.WithWriteBufferSize(wire.BufferSize), grpc.WithReadBufferSize(wire.BufferSize),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxAnswer), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	}
}

// Plugin is the classifier's entry in a host's go-plugin PluginSet, under
// wire.PluginName. What it dispenses is a *Client.
type Plugin struct {
	plugin.NetRPCUnsupportedPlugin
}

var _ plugin.GRPCPlugin = Plugin{}

// GRPCClient returns a *Client that speaks over c.
func (Plugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return NewClient(c), nil
}

// GRPCServer fails: a plugin is served by sdk.Serve.
func (Plugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("remote: the host's end of a plugin does not serve one")
}
