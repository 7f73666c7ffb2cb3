package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	goproto "google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// reads is the verb by which a test has the program read one file with the reader that
// its verbs share, where theirs need more beside it.
func reads() cli.Verb {
	readers := map[string]func(ctx context.Context, args []string) error{
		"rows": func(_ context.Context, args []string) error {
			_, err := dataset.Read(args[0], builtin.Components().Formats, dataset.StreamOptions{})
			return err
		},
		"digits": func(_ context.Context, args []string) error {
			_, err := dataset.Read(args[0], builtin.Components().Formats, dataset.StreamOptions{Example: tensor.Shape{64}})
			return err
		},
		"folder": func(_ context.Context, args []string) error {
			_, err := dataset.Open(dataset.Source{Folder: args[0]}, ".", builtin.Components().Datasets, builtin.Components().Formats)
			return err
		},
		"weights": func(_ context.Context, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			_, err = safetensors.Decode(bytes.NewReader(b), int64(len(b)))
			return err
		},
		"manifest": func(_ context.Context, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			_, err = host.ReadManifest(b)
			return err
		},
		"lock": func(_ context.Context, args []string) error {
			_, err := launch.ReadLock(args[0])
			return err
		},
		"config": func(_ context.Context, args []string) error {
			schema, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			config, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			return sdk.CheckConfig(schema, config)
		},
		"answer": readAnswer,
	}
	return cli.Verb{Name: "read", Args: "READER FILE…", Short: "Read a file", Run: func(ctx context.Context, _ *cli.Env, args []string) error {
		read := readers[args[0]]
		if read == nil {
			return fmt.Errorf("no reader %q", args[0])
		}
		return read(ctx, args[1:])
	}}
}

// answerer is a plugin that answers Predict with a given tensor.
type answerer struct {
	proto.UnimplementedClassifierServer
	y *proto.Tensor
}

func (a answerer) Predict(context.Context, *proto.PredictRequest) (*proto.PredictResponse, error) {
	if a.y == nil {
		return &proto.PredictResponse{}, nil
	}
	return &proto.PredictResponse{Outputs: map[string]*proto.Tensor{sdk.Output: a.y}}, nil
}

// readAnswer reads a tensor as a plugin's answer to one row; an empty file is none.
func readAnswer(ctx context.Context, args []string) (err error) {
	b, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var a answerer
	if len(b) > 0 {
		a.y = &proto.Tensor{}
		if err := goproto.Unmarshal(b, a.y); err != nil {
			return err
		}
	}
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	proto.RegisterClassifierServer(server, a)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	made, err := remote.Plugin{}.GRPCClient(ctx, nil, conn)
	if err != nil {
		return err
	}
	_, err = made.(*remote.Client).Predict(ctx, tensor.New(1, 3))
	return err
}
