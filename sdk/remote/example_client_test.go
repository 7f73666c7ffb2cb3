package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// connect serves c on a port of this machine. The caller ends it by stop.
func connect(c sdk.Classifier) (client *remote.Client, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := sdk.NewServer(c)
	go func() { _ = server.Serve(listener) }()
	options := append(remote.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(listener.Addr().String(), options...)
	if err != nil {
		log.Fatal(err)
	}
	return remote.NewClient(conn), func() {
		_ = conn.Close()
		server.Stop()
	}
}

// A prediction and its gradient over one stream: the plugin keeps the tape
// between the two steps.
func ExampleClient_Stream() {
	client, stop := connect(&sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2})
	defer stop()
	s, err := client.Stream(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	x := tensor.From([]float32{.1, .2, .3}, 1, 3)
	outs, err := s.Forward(x, sdk.Output)
	if err != nil {
		log.Fatal(err)
	}
	dy := tensor.From([]float32{1, 0}, 1, 2)
	dx, err := s.Backward(map[string]*tensor.Tensor{sdk.Output: dy}, x.Shape)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(outs[sdk.Output].Shape, dx.Shape)
	// Output: 1×2 1×3
}

// scaled is a Fake with a setting.
type scaled struct{ sdktest.Fake }

func (*scaled) Schema() []byte {
	return []byte(`{"type": "object", "properties": {"scale": {"type": "number", "exclusiveMinimum": 0}}}`)
}

func (s *scaled) Configure(_ context.Context, c sdk.Config) error {
	var config struct{ Scale float64 }
	if err := json.Unmarshal(c.JSON, &config); err != nil {
		return sdk.Diagnostics{{Message: err.Error()}}
	}
	s.Scale = config.Scale
	return nil
}

// What a plugin refuses comes back with its place in the config.
func ExampleClient_Configure() {
	client, stop := connect(&scaled{sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2}})
	defer stop()
	err := client.Configure(context.Background(), sdk.Config{JSON: []byte(`{"scale": -1}`)})
	var faults sdk.Diagnostics
	if !errors.As(err, &faults) {
		log.Fatal(err)
	}
	for _, f := range faults {
		fmt.Println(f.Pointer, "-", f.Message)
	}
	// Output: /scale - exclusiveMinimum: got -1, want 0
}
