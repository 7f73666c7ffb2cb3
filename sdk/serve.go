package sdk

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Serve is the whole main of a plugin: it answers the host's calls from c
// until the host is done, and then returns. It does not return if the program
// was not started by a host: it says so and exits with status 1.
//
// Standard output belongs to the handshake. Do not print before Serve; what is
// printed afterwards goes to stderr, which the host logs.
func Serve(c Classifier) {
	handshake := wire.Handshake()
	if os.Getenv(handshake.MagicCookieKey) != handshake.MagicCookieValue {
		fmt.Fprintln(os.Stderr, "This program is a classifier plugin for vaeguard. Name it in a spec as classifier.path, or try: vaeguard plugin check PATH")
		os.Exit(1)
	}
	watchHost()
	stderr := os.Stderr
	var once sync.Once
	// go-plugin sends whatever is printed through a gRPC stream of its own,
	// which loses the last words of a crash. By the first call the handshake is
	// over, and both outputs can go straight to the host's pipe.
	direct := func() { once.Do(func() { os.Stdout, os.Stderr = stderr, stderr; stdoutToStderr() }) }
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins:         plugin.PluginSet{wire.PluginName: served{}},
		Logger:          hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: stderr, JSONFormat: true}),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			// go-plugin has seen the cookie by now. What the classifier starts was started by no host.
			_ = os.Unsetenv(handshake.MagicCookieKey)
			o = append(o,
				grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
					direct()
					return h(ctx, req)
				}),
				grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
					direct()
					return h(srv, s)
				}))
			return NewServer(c, o...)
		},
	})
}

// watchHost ends the process, and with it what it started, when the host dies.
func watchHost() {
	watch := os.Getenv(wire.DeathWatchEnv)
	_ = os.Unsetenv(wire.DeathWatchEnv)
	if watch != "stdin" {
		return
	}
	in := os.Stdin
	go func() {
		_, _ = io.Copy(io.Discard, in)
		endGroup()
		os.Exit(0)
	}()
}
