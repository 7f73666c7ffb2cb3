package remote

import (
	"cmp"
	"context"
	"net"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// greedy answers what its fields say, whatever it is asked.
type greedy struct {
	proto.UnimplementedClassifierServer
	info      *proto.DescribeResponse
	configure *proto.ConfigureResponse
	output    *proto.Tensor
	event     *proto.FitEvent
	name      string             // of the output that it answers; "": output
	fault     error              // of Predict
	unknown   grpc.StreamHandler // of what it does not serve; nil: refused
}

func (g *greedy) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	return g.info, nil
}

func (g *greedy) Configure(context.Context, *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	return g.configure, nil
}

func (g *greedy) Predict(context.Context, *proto.PredictRequest) (*proto.PredictResponse, error) {
	if g.fault != nil {
		return nil, g.fault
	}
	return &proto.PredictResponse{Outputs: map[string]*proto.Tensor{cmp.Or(g.name, sdk.Output): g.output}}, nil
}

func (g *greedy) Gradient(context.Context, *proto.GradientRequest) (*proto.GradientResponse, error) {
	return &proto.GradientResponse{Dx: g.output}, nil
}

func (g *greedy) Differentiate(s grpc.BidiStreamingServer[proto.DifferentiateRequest, proto.DifferentiateResponse]) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	return s.Send(&proto.DifferentiateResponse{Step: &proto.DifferentiateResponse_Dx{Dx: g.output}})
}

func (g *greedy) Fit(s grpc.BidiStreamingServer[proto.FitRequest, proto.FitEvent]) error {
	return s.Send(g.event)
}

func plain() *proto.DescribeResponse {
	return &proto.DescribeResponse{Name: "greedy", InputShape: []int64{2}, Layout: proto.Layout_FLAT, NumClasses: 2, Output: proto.OutputKind_LOGITS, Ready: true}
}

// host is the host's end of a connection to g.
func (g *greedy) host(t *testing.T) *Client {
	t.Helper()
	return NewClient(g.dial(t))
}

func (g *greedy) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	o := []grpc.ServerOption{grpc.MaxSendMsgSize(1 << 30)}
	if g.unknown != nil {
		o = append(o, grpc.UnknownServiceHandler(g.unknown))
	}
	s := grpc.NewServer(o...)
	proto.RegisterClassifierServer(s, g)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///memory", append(DialOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestClaims: a description that claims more than anybody has is refused before
// anything is made of it, and so is a name that would forge lines.
func TestClaims(t *testing.T) {
	for _, c := range []struct {
		name  string
		claim func(*proto.DescribeResponse)
		want  string
	}{
		{"classes", func(m *proto.DescribeResponse) { m.NumClasses = 1 << 29 }, "num_classes is 536870912, want at most 1048576"},
		{"input", func(m *proto.DescribeResponse) { m.InputShape = []int64{1 << 15, 1 << 14} }, "input shape 32768×16384 has 536870912 elements"},
		{"hidden layer", func(m *proto.DescribeResponse) {
			m.Hidden = []*proto.HiddenLayer{{Name: "h", Shape: []int64{1 << 29}}}
		}, "hidden layer h 536870912 has"},
		{"hidden layers", func(m *proto.DescribeResponse) { m.Hidden = make([]*proto.HiddenLayer, 5000) }, "5000 hidden layers"},
		{"batch", func(m *proto.DescribeResponse) { m.MaxBatch = 1 << 40 }, "max_batch"},
		{"name", func(m *proto.DescribeResponse) { m.Name = "good\nvaeguard: all is well" }, `the name is "good\nvaeguard`},
		{"version", func(m *proto.DescribeResponse) { m.Version = "\x1b[2J" }, "not printed"},
		{"class", func(m *proto.DescribeResponse) { m.Classes = []string{"cat", "\u202edog"} }, `the name of class 1 is "\u202edog"`},
		{"long class", func(m *proto.DescribeResponse) { m.Classes = []string{strings.Repeat("a", 2000)} }, "has 2000 bytes"},
		{"schema of 20 MB", func(m *proto.DescribeResponse) { m.ConfigSchema = make([]byte, 20<<20) }, "larger than what it was asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &greedy{info: plain()}
			c.claim(g.info)
			if c.name == "hidden layers" {
				for i := range g.info.Hidden {
					g.info.Hidden[i] = &proto.HiddenLayer{Name: "h", Shape: []int64{1}}
				}
			}
			if _, err := g.host(t).Info(t.Context()); sdk.KindOf(err) != sdk.Internal || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestAnswersAreBounded: an answer is read as far as what was asked can need.
func TestAnswersAreBounded(t *testing.T) {
	const rows = 16
	big := &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{rows, 1 << 20}, Data: make([]byte, rows<<22)} // 64 MiB
	g := &greedy{info: plain(), output: big}
	g.configure = &proto.ConfigureResponse{Diagnostics: []*proto.Diagnostic{{Message: strings.Repeat("x", 20<<20)}}}
	g.event = &proto.FitEvent{Event: &proto.FitEvent_Done{Done: &proto.FitDone{ConfigJson: make([]byte, 20<<20)}}}
	c := g.host(t)
	if _, err := c.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	x := tensor.Batch(rows, tensor.Shape{2})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, call := range map[string]func() error{
		"predict":   func() error { _, err := c.Predict(t.Context(), x); return err },
		"gradient":  func() error { _, err := c.Gradient(t.Context(), x, x); return err },
		"configure": func() error { return c.Configure(t.Context(), sdk.Config{}) },
		"fit": func() error {
			_, err := c.Fit(t.Context(), sdk.TrainingData{X: x, Labels: make([]int, rows)}, sdk.FitOptions{})
			return err
		},
		"differentiate": func() error {
			s, err := c.StreamRows(t.Context(), rows)
			if err != nil {
				return err
			}
			defer s.Close()
			_, err = s.Forward(x)
			return err
		},
	} {
		if err := call(); sdk.KindOf(err) != sdk.Internal || !strings.Contains(err.Error(), "larger than what it was asked for") {
			t.Errorf("%s: %v", name, err)
		}
	}
	runtime.ReadMemStats(&after)
	// Both ends are here: the server's encoding of three times 64 and twice 20 MiB is counted too.
	if read := int64(after.TotalAlloc - before.TotalAlloc); read > 600<<20 {
		t.Errorf("%d MiB allocated", read>>20)
	}
	if s, err := c.Stream(t.Context()); err != nil || !s.Holds(rows) || s.Holds(1<<22) {
		t.Errorf("what a stream holds: %v", err)
	}
}

// TestManyDiagnostics: the first are read, the rest counted, and none forges lines.
func TestManyDiagnostics(t *testing.T) {
	g := &greedy{info: plain(), configure: &proto.ConfigureResponse{}}
	for range 5000 {
		g.configure.Diagnostics = append(g.configure.Diagnostics, &proto.Diagnostic{Pointer: "/a\nb", Message: "bad\r\nvaeguard: fine"})
	}
	err := g.host(t).Configure(t.Context(), sdk.Config{})
	d, ok := err.(sdk.Diagnostics) //nolint:errorlint // it is returned as it is
	if !ok || len(d) != wire.MaxDiagnostics+1 || d[wire.MaxDiagnostics].Message != "and 4900 more" || !wire.Plain(d[0].Message+d[0].Pointer) {
		t.Errorf("%d diagnostics: %.200v", len(d), err)
	}
}
