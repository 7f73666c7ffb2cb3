package remote

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestOutputsAsked: the room of an answer is that of the outputs that are asked for,
// whatever else the plugin says that it has.
func TestOutputsAsked(t *testing.T) {
	const rows = 16
	hidden := func() *proto.Tensor { // 64 MiB
		return &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{rows, 1 << 20}, Data: make([]byte, rows<<22)}
	}
	g := &greedy{info: plain(), output: hidden()}
	for _, name := range []string{"a", "b", "c"} {
		g.info.Hidden = append(g.info.Hidden, &proto.HiddenLayer{Name: name, Shape: []int64{1 << 20}})
	}
	c := g.host(t)
	if _, err := c.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	x := tensor.Batch(rows, tensor.Shape{2})
	for name, call := range map[string]func() error{
		"predict":                         func() error { _, err := c.Predict(t.Context(), x); return err },
		"an output that it does not have": func() error { _, err := c.Outputs(t.Context(), x, "hidden/d"); return err },
		"gradient":                        func() error { _, err := c.Gradient(t.Context(), x, x); return err },
		"forward": func() error {
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
	g.name = "hidden/a"
	if outs, err := c.Outputs(t.Context(), x, "hidden/a"); err != nil || outs["hidden/a"].N() != rows {
		t.Errorf("what was asked for: %v", err)
	}
	s, err := c.StreamRows(t.Context(), rows, "hidden/a", "output")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Holds(rows, "hidden/a") || !s.Holds(rows) || s.Holds(rows, "hidden/a", "hidden/b") {
		t.Error("a stream holds something else than it was opened for")
	}
}

// TestManyParts: a message whose parts would take many times its bytes is refused before it
// is read: eight million empty layers in 16 MiB took 700 MiB; here they are a million.
func TestManyParts(t *testing.T) {
	const parts = 1 << 20
	info := plain()
	for range parts {
		info.Hidden = append(info.Hidden, &proto.HiddenLayer{})
	}
	dims := plain()
	dims.InputShape = make([]int64, 15<<20)
	diagnostics := &proto.ConfigureResponse{}
	for range parts {
		diagnostics.Diagnostics = append(diagnostics.Diagnostics, &proto.Diagnostic{})
	}
	files := &proto.FitEvent{Event: &proto.FitEvent_Done{Done: &proto.FitDone{}}}
	for range parts {
		files.GetDone().Files = append(files.GetDone().Files, &proto.FitFile{})
	}
	fit := func(c *Client) error {
		x := tensor.Batch(1, tensor.Shape{2})
		_, err := c.Fit(t.Context(), sdk.TrainingData{X: x, Labels: make([]int, 1)}, sdk.FitOptions{})
		return err
	}
	for name, k := range map[string]struct {
		g    *greedy
		call func(*Client) error
	}{
		"layers":      {&greedy{info: info}, func(c *Client) error { _, err := c.Info(t.Context()); return err }},
		"dimensions":  {&greedy{info: dims}, func(c *Client) error { _, err := c.Info(t.Context()); return err }},
		"diagnostics": {&greedy{configure: diagnostics}, func(c *Client) error { return c.Configure(t.Context(), sdk.Config{}) }},
		"files":       {&greedy{event: files}, fit},
	} {
		t.Run(name, func(t *testing.T) {
			c := k.g.host(t)
			if err := k.call(c); sdk.KindOf(err) != sdk.Internal || !strings.Contains(err.Error(), "has so many parts that they would take more than 64 MiB of memory") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestManyDetails: the details of an error lie in its headers, which are bounded.
func TestManyDetails(t *testing.T) {
	details, err := anypb.New(&emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	s := status.New(codes.Internal, "bad").Proto()
	for range 100_000 {
		s.Details = append(s.Details, details)
	}
	g := &greedy{info: plain(), fault: status.ErrorProto(s)}
	if _, err = g.host(t).Predict(t.Context(), tensor.Batch(1, tensor.Shape{2})); err == nil || err.Error() == "bad" {
		t.Errorf("they were read: %v", err)
	}
	g.fault = status.Error(codes.FailedPrecondition, strings.Repeat("long ", 20_000))
	if _, err = g.host(t).Predict(t.Context(), tensor.Batch(1, tensor.Shape{2})); sdk.KindOf(err) != sdk.FailedPrecondition || !strings.HasPrefix(err.Error(), "long long ") {
		t.Errorf("a long message is lost: %.200v", err)
	}
}

// TestNoBroker: go-plugin's broker is never opened, whoever asks for it: what comes there
// is kept without end.
func TestNoBroker(t *testing.T) {
	var opened atomic.Int32
	g := &greedy{info: plain(), unknown: func(_ any, s grpc.ServerStream) error {
		opened.Add(1)
		return s.SendMsg(&emptypb.Empty{})
	}}
	c := g.dial(t)
	for method, want := range map[string]codes.Code{"/plugin.GRPCBroker/StartStream": codes.Unimplemented, "/plugin.GRPCStdio/StreamStdio": codes.OK} {
		s, err := c.NewStream(context.WithoutCancel(t.Context()), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		if err == nil {
			err = s.RecvMsg(&emptypb.Empty{})
		}
		if status.Code(err) != want {
			t.Errorf("%s: %v", method, err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d streams were opened", n)
	}
}

// TestManyValues: documents of JSON have bounds besides their bytes, and what stands in strings is not counted.
func TestManyValues(t *testing.T) {
	many := []byte(`{"enum": [` + strings.Repeat("0,", 1<<20) + `0]}`)
	g := &greedy{info: plain(), event: &proto.FitEvent{Event: &proto.FitEvent_Done{Done: &proto.FitDone{ConfigJson: many}}}}
	g.info.ConfigSchema = []byte(`{"description": "` + strings.Repeat(`,{[\"`, 1<<20) + `"}`)
	c := g.host(t)
	if _, err := c.Info(t.Context()); err != nil {
		t.Error(err)
	}
	g.info.ConfigSchema = many
	if _, err := c.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "config_schema has more than 262144 values") {
		t.Error(err)
	}
	x := tensor.Batch(1, tensor.Shape{2})
	if _, err := c.Fit(t.Context(), sdk.TrainingData{X: x, Labels: make([]int, 1)}, sdk.FitOptions{}); err == nil || !strings.Contains(err.Error(), "more than 262144 values") {
		t.Error(err)
	}
	for text, want := range map[string]int{``: 1, `1`: 1, `[]`: 2, `{"a": 1, "b": [1, 2]}`: 5, `"\`: 1, `"a`: 1, `["\\", 1]`: 3} {
		if n := values([]byte(text)); n != want {
			t.Errorf("%s: %d values, want %d", text, n, want)
		}
	}
}
