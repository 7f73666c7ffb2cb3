package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// inZoo is the first argument of this test binary as a plugin of the zoo, and of the
// host that meets it; the second is the member.
const (
	inZoo   = "zoo-plugin"
	askZoo  = "zoo-host"
	zooRows = 16
	// greedy takes all memory and has no limit of its own.
	greedy = "greedy"
)

// zooIfAsked makes this process a member, or its host, if it was started to be one.
func zooIfAsked() {
	if len(os.Args) != 3 || os.Args[1] != inZoo && os.Args[1] != askZoo {
		return
	}
	builtin.ServeIfPlugin()
	if os.Args[2] == honest {
		serveHonest()
	}
	for _, b := range append(beasts(), &beast{what: greedy, predict: takeAll}) {
		if b.what != os.Args[2] {
			continue
		}
		if os.Args[1] == askZoo {
			os.Exit(ask(b))
		}
		b.serve()
		os.Exit(0)
	}
	panic("no such member: " + os.Args[2])
}

// beast is a plugin that means harm, and what a host must make of it. Its server speaks the
// protocol without an SDK: a linear classifier of zeros, of 64 features and 10 classes,
// but for what the fields change.
type beast struct {
	plugin.NetRPCUnsupportedPlugin
	proto.UnimplementedClassifierServer

	kind, what string
	args       []string // vaeguard's command line; nil: ask
	want       string   // a part of the message; "": it does no harm, and is served
	code       int      // of the host's exit; 0: 4, or 0 where it says nothing
	mib        int      // budget of the host's memory; 0: 160
	seconds    int      // and of its time; 0: 60
	memory     int      // limit of the plugin, MiB; 0: none
	broker     bool     // it floods a host that opens go-plugin's broker

	first         func() // before it serves
	describe      func(call int, d *proto.DescribeResponse)
	configure     func(*proto.ConfigureResponse) error
	predict       func(call int, y *proto.Tensor, m *proto.PredictResponse) error
	differentiate func(grpc.BidiStreamingServer[proto.DifferentiateRequest, proto.DifferentiateResponse]) error
	fit           func(dir string, s grpc.BidiStreamingServer[proto.FitRequest, proto.FitEvent]) error

	described, predicted int
}

func (b *beast) serve() {
	if b.first != nil {
		b.first()
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: wire.Handshake(), Plugins: plugin.PluginSet{wire.PluginName: b},
		Logger: hclog.NewNullLogger(),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			o = append(o, grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32))
			if b.broker {
				o = append(o, grpc.ChainStreamInterceptor(flood))
			}
			return grpc.NewServer(o...)
		},
	})
}

// flood announces connections of 15 MiB each to a host that opens go-plugin's broker.
func flood(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
	if info.FullMethod != "/plugin.GRPCBroker/StartStream" {
		return h(srv, s)
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName("plugin.ConnInfo")
	if err != nil {
		return err
	}
	fields := kind.Descriptor().Fields()
	address := protoreflect.ValueOfString(strings.Repeat("x", 15<<20))
	for i := range uint32(140) {
		m := kind.New()
		m.Set(fields.ByName("service_id"), protoreflect.ValueOfUint32(i))
		m.Set(fields.ByName("address"), address)
		m.Mutable(fields.ByName("knock")).Message().Set(fields.ByName("knock").Message().Fields().ByName("knock"), protoreflect.ValueOfBool(true))
		if err := s.SendMsg(m.Interface()); err != nil {
			return err
		}
	}
	return nil
}

func (b *beast) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	proto.RegisterClassifierServer(s, b)
	return nil
}

func (b *beast) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a server only")
}

func (b *beast) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	d := &proto.DescribeResponse{
		Name: "zoo", Version: "1", InputShape: []int64{64}, Layout: proto.Layout_FLAT, NumClasses: 10, Digest: "zoo",
		Output: proto.OutputKind_LOGITS, Gradient: proto.GradientKind_NONE, Ready: true, Trainable: b.fit != nil,
	}
	b.described++
	if b.differentiate != nil {
		d.Gradient, d.Differentiate = proto.GradientKind_EXACT, true
	}
	if b.describe != nil {
		b.describe(b.described, d)
	}
	return d, nil
}

func (b *beast) Configure(context.Context, *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	m := &proto.ConfigureResponse{}
	if b.configure != nil {
		return m, b.configure(m)
	}
	return m, nil
}

func (b *beast) Predict(_ context.Context, r *proto.PredictRequest) (*proto.PredictResponse, error) {
	n := r.X.Shape[0]
	y := &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{n, 10}, Data: make([]byte, 40*n)}
	for i := range n { // class 0 of a row is its first feature, so that rows differ
		copy(y.Data[40*i:][:4], r.X.Data[256*i:])
	}
	m := &proto.PredictResponse{Outputs: map[string]*proto.Tensor{sdk.Output: y}}
	b.predicted++
	if b.broker {
		time.Sleep(time.Second) // in which a host would have read it
	}
	if b.predict != nil {
		return m, b.predict(b.predicted, y, m)
	}
	return m, nil
}

func (b *beast) Differentiate(s grpc.BidiStreamingServer[proto.DifferentiateRequest, proto.DifferentiateResponse]) error {
	if b.differentiate == nil {
		return errors.New("not served")
	}
	return b.differentiate(s)
}

func (b *beast) Fit(s grpc.BidiStreamingServer[proto.FitRequest, proto.FitEvent]) error {
	dir := ""
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if o := m.GetOptions(); o != nil {
			dir = o.OutputDir
		}
	}
	return b.fit(dir, s)
}

// done is a Fit's last event.
func done(s grpc.BidiStreamingServer[proto.FitRequest, proto.FitEvent], config string, files ...*proto.FitFile) error {
	return s.Send(&proto.FitEvent{Event: &proto.FitEvent_Done{Done: &proto.FitDone{ConfigJson: []byte(config), Digest: "zoo", Files: files}}})
}

// ask is the host that meets a member: it starts it, asks for answers, for a tape
// where there is one, and once more after a restart, and ends it.
func ask(b *beast) int {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	o := launch.Options{
		Command: launch.Command{Name: "zoo", Path: exe, Args: []string{inZoo, b.what}}, Checks: launch.ChecksOff,
		StartTimeout: 10 * time.Second, CallTimeout: 10 * time.Second, DrainTimeout: time.Second, RestartBudget: 1,
		Limits: launch.Limits{MemoryMB: b.memory}, Env: []string{markName + "=" + os.Getenv(markName)},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr}),
	}
	ctx := context.Background()
	fault := func() error {
		c, err := launch.Start(ctx, o)
		if err != nil {
			return err
		}
		defer func() {
			if err := c.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		x := tensor.Batch(zooRows, info.InputShape)
		for range 3 {
			if _, err := c.Predict(ctx, x); err != nil {
				return err
			}
		}
		if info.Differentiate {
			outs, pull, err := c.Forward(ctx, x)
			if err != nil {
				return err
			}
			if _, err := pull(ctx, outs); err != nil {
				return err
			}
		}
		return nil
	}()
	if fault != nil {
		fmt.Fprintln(os.Stderr, fault)
		return 4
	}
	return 0
}
