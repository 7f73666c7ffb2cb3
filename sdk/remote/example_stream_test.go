package remote_test

import (
	"context"
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
