package remote_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Both ends in one program: a server of a classifier, and a client of it.
func ExampleNewClient() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := sdk.NewServer(&sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2})
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	options := append(remote.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(listener.Addr().String(), options...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	c := remote.NewClient(conn)
	info, err := c.Info(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	y, err := c.Predict(context.Background(), tensor.New(4, 3))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Name, info.InputShape, y.Shape)
	_, err = c.Predict(context.Background(), tensor.New(4, 5))
	fmt.Println(sdk.KindOf(err), "-", err)
	// Output:
	// fake 3 4×2
	// invalid argument - x has shape 4×5, want N×3 (flat)
}
