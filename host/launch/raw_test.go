package launch

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// raw is a plugin that speaks the protocol without an SDK, badly: its answer
// depends on x[0].
type raw struct {
	plugin.NetRPCUnsupportedPlugin
	proto.UnimplementedClassifierServer
}

// rawAgain says that a raw plugin with RAW_WEIGHTS is not the first to start.
var rawAgain bool

func serveRaw() {
	if place := os.Getenv("RAW_ALONE"); place != "" {
		if _, err := os.OpenFile(place, os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			panic(err)
		}
	}
	if place := os.Getenv("RAW_WEIGHTS"); place != "" {
		_, err := os.OpenFile(place, os.O_CREATE|os.O_EXCL, 0o600)
		rawAgain = err != nil
	}
	if os.Getenv("RAW_STDIN") != "ignored" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	server := plugin.DefaultGRPCServer
	if os.Getenv("RAW_GRPC") != "default" {
		server = func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(math.MaxInt32))...)
		}
	}
	plugin.Serve(&plugin.ServeConfig{HandshakeConfig: wire.Handshake(), Plugins: plugin.PluginSet{wire.PluginName: &raw{}}, GRPCServer: server})
	if os.Getenv("RAW_END") == "stays" {
		time.Sleep(time.Hour)
	}
}

func (r *raw) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	proto.RegisterClassifierServer(s, r)
	return nil
}

func (r *raw) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a server only")
}

func (r *raw) Configure(context.Context, *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	return &proto.ConfigureResponse{}, nil
}

func (r *raw) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	classes := int64(2)
	if text := os.Getenv("RAW_CLASSES"); text != "" {
		classes, _ = strconv.ParseInt(text, 10, 64)
	}
	features := int64(1)
	if text := os.Getenv("RAW_FEATURES"); text != "" {
		features, _ = strconv.ParseInt(text, 10, 64)
	}
	digest := "raw"
	conformRaw(&digest, nil, 0)
	d := &proto.DescribeResponse{
		Digest: digest, Name: "raw", InputShape: []int64{features}, Layout: proto.Layout_FLAT, NumClasses: classes,
		Output: proto.OutputKind_LOGITS, Gradient: proto.GradientKind_NONE, Ready: true, Trainable: true,
	}
	if rawAgain {
		otherwise[os.Getenv("RAW_OTHERWISE")](d)
	}
	return d, nil
}

// otherwise is what a raw plugin says of itself when it is started again.
var otherwise = map[string]func(*proto.DescribeResponse){
	"":            func(*proto.DescribeResponse) {},
	"max_batch":   func(d *proto.DescribeResponse) { d.MaxBatch = 7 },
	"digest":      func(d *proto.DescribeResponse) { d.Digest = "cooked" },
	"digest gone": func(d *proto.DescribeResponse) { d.Digest = "" },
	"name":        func(d *proto.DescribeResponse) { d.Name = "cooked" },
	"version":     func(d *proto.DescribeResponse) { d.Version = "2" },
	"schema":      func(d *proto.DescribeResponse) { d.ConfigSchema = []byte(`{"type": "object"}`) },
	"input":       func(d *proto.DescribeResponse) { d.InputShape = []int64{2} },
	"layout":      func(d *proto.DescribeResponse) { d.InputShape, d.Layout = []int64{1, 1, 1}, proto.Layout_NCHW },
	"range":       func(d *proto.DescribeResponse) { d.Lo, d.Hi = []float32{0}, []float32{1} },
	"classes":     func(d *proto.DescribeResponse) { d.NumClasses = 3 },
	"names":       func(d *proto.DescribeResponse) { d.Classes = []string{"good", "bad"} },
	"output":      func(d *proto.DescribeResponse) { d.Output = proto.OutputKind_PROBABILITIES },
	"gradient":    func(d *proto.DescribeResponse) { d.Gradient = proto.GradientKind_EXACT },
	"tapes":       func(d *proto.DescribeResponse) { d.Differentiate = true },
	"hidden": func(d *proto.DescribeResponse) {
		d.Hidden = []*proto.HiddenLayer{{Name: "h", Shape: []int64{1}}}
	},
	"untrainable": func(d *proto.DescribeResponse) { d.Trainable = false },
	"unready":     func(d *proto.DescribeResponse) { d.Ready = false },
	"invariant":   func(d *proto.DescribeResponse) { d.BatchInvariant = true },
}

// TestRestartsAsTheSame: what a plugin says of itself after a crash is what it said before,
// all of it: answers that are read otherwise would mean something else.
func TestRestartsAsTheSame(t *testing.T) {
	for name, change := range otherwise {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := act("raw", "RAW_WEIGHTS="+filepath.Join(t.TempDir(), "w"), "RAW_OTHERWISE="+name)
			c, err := Start(t.Context(), Options{Command: cmd, Checks: ChecksOff, RestartBudget: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			x := random(1, 1, 1)
			x.Data[0] = -1 // it crashes, once
			_, err = c.Predict(t.Context(), x)
			m := &proto.DescribeResponse{}
			change(m)
			if same := name == "" || m.MaxBatch > 0; same != (err == nil) || err != nil && !strings.Contains(err.Error(), "it came back as another model: ") {
				t.Error(err)
			}
		})
	}
}

// Fit never ends: it reports progress or is silent.
func (r *raw) Fit(s grpc.BidiStreamingServer[proto.FitRequest, proto.FitEvent]) error {
	for step := int64(1); ; step++ {
		if os.Getenv("RAW_FIT") == "chatty" {
			e := &proto.FitProgress{Epoch: 1, Step: step, Steps: step, Metrics: map[string]float64{"loss": 1}}
			if err := s.Send(&proto.FitEvent{Event: &proto.FitEvent_Progress{Progress: e}}); err != nil {
				time.Sleep(time.Hour) // nor does it mind that nobody listens
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *raw) Predict(_ context.Context, m *proto.PredictRequest) (*proto.PredictResponse, error) {
	n := m.X.Shape[0]
	y := &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{n, 2}, Data: make([]byte, 8*n)}
	conformRaw(nil, y.Data, n)
	switch m.X.Data[3] { // the sign and exponent of x[0]
	case 0:
	case 0x3f: // 1
		y.Shape[1], y.Data = 3, make([]byte, 12*n)
	case 0x40: // 2
		y.Data[3], y.Data[2] = 0x7f, 0xc0
	case 0x41: // 8
		y.Data = y.Data[:7]
	case 0xbf: // -1
		if !rawAgain {
			panic("nobody recovers this")
		}
	default:
		return &proto.PredictResponse{}, nil
	}
	return &proto.PredictResponse{Outputs: map[string]*proto.Tensor{sdk.Output: y}}, nil
}

func TestWrongAnswers(t *testing.T) {
	c, err := Start(t.Context(), Options{Command: act("raw"), Checks: ChecksOff, RestartBudget: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	x := random(1, 1, 1)
	for _, k := range []struct {
		x    float32
		want string
	}{
		{0, ""},
		{1, `its output "output" has shape 3, it declared 2`},
		{2, "the plugin's output has NaN in row 0"},
		{8, "7 bytes for shape 1×2, want 8"},
		{float32(math.Inf(-1)), `has no "output" of 1 rows`},
		{-1, "it crashed"},
	} {
		x.Data[0] = k.x
		_, err := c.Predict(t.Context(), x)
		var e *Error
		if k.want == "" {
			if err != nil {
				t.Error(err)
			}
		} else if !errors.As(err, &e) || !strings.Contains(err.Error(), k.want) {
			t.Errorf("x = %v: %v, want %q", k.x, err, k.want)
		}
	}
}

// TestClaimedClasses: what a plugin declares is not allocated: 2^29 classes were, for
// every row, which no memory holds, and a Go program does not survive that.
func TestClaimedClasses(t *testing.T) {
	_, err := Start(t.Context(), Options{Command: act("raw", "RAW_CLASSES=536870912"), RestartBudget: -1})
	var e *Error
	if !errors.As(err, &e) || e.Op != "describe" || !strings.Contains(err.Error(), "num_classes is 536870912, want at most") {
		t.Errorf("%v", err)
	}
	c, err := Start(t.Context(), Options{Command: act("raw", "RAW_CLASSES=1048576"), Checks: ChecksOff, RestartBudget: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err = c.Predict(t.Context(), random(1, 100000, 1)); !errors.As(err, &e) || !strings.Contains(err.Error(), "it declares 1048576 numbers a row") {
		t.Errorf("%v", err)
	}
}

// TestFitEnds: a Fit has a deadline between its reports and one for all of it: one
// that reported for ever ran for ever.
func TestFitEnds(t *testing.T) {
	for how, k := range map[string]struct {
		timeout, silence time.Duration
		want             string
	}{
		"chatty": {400 * time.Millisecond, time.Hour, "not done within 400ms (classifier.fit_timeout)"},
		"silent": {time.Hour, 200 * time.Millisecond, "no progress within 200ms (classifier.fit_silence)"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c, err := Start(t.Context(), Options{Command: act("raw", "RAW_FIT="+how), Checks: ChecksOff, RestartBudget: -1,
				FitTimeout: k.timeout, FitSilence: k.silence})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			p := c.replicas[0].current()
			_, err = c.Fit(t.Context(), sdk.TrainingData{X: random(1, 2, 1), Labels: []int{0, 1}}, sdk.FitOptions{OutputDir: t.TempDir()})
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), k.want) {
				t.Errorf("%v, want %q", err, k.want)
			}
			if !p.run.dead(time.Minute) {
				t.Error("the plugin lives")
			}
		})
	}
}
