// Package remote is the host's end of a classifier plugin's connection. It is
// for programs that call a plugin; plugin authors need package sdk only.
package remote

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Client is the host's end of the protocol: one call of a method is one call
// on the wire, in the plugin's own layout, with errors of the kinds in package
// sdk. It neither cuts batches nor tries again; the host's launcher does.
// Its methods may be called concurrently.
//
// What the plugin may answer is bounded by what it was asked for, in the sizes that it
// gave when Info was last called: more is an error, and no memory.
type Client struct {
	rpc   proto.ClassifierClient
	known atomic.Pointer[sdk.Info]
	hide  func(string) string // nil: nothing
}

var (
	_ sdk.Differentiable = (*Client)(nil)
	_ sdk.Trainable      = (*Client)(nil)
)

// NewClient speaks over conn, which should have been dialled with DialOptions.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{rpc: proto.NewClassifierClient(conn)}
}

// shown is text of the plugin without what is to be hidden.
func (c *Client) shown(text string) string {
	if c.hide == nil {
		return text
	}
	return c.hide(text)
}

// Info asks for the description.
func (c *Client) Info(ctx context.Context) (sdk.Info, error) {
	m, err := c.rpc.Describe(ctx, &proto.DescribeRequest{})
	if err != nil {
		return sdk.Info{}, c.fromStatus(err)
	}
	i, err := info(m)
	if err == nil {
		c.known.Store(&i)
	}
	return i, err
}

// room is the most bytes that an answer about n rows may have that holds the named
// outputs, none meaning Output, and with dx a gradient too.
func (c *Client) room(n int, outputs []string, dx bool) int {
	const slack = 1 << 16 // names, shapes, tags
	i := c.known.Load()
	if i == nil || i.NumClasses == 0 {
		return wire.MaxAnswer
	}
	if len(outputs) == 0 {
		outputs = []string{sdk.Output}
	}
	row, names := int64(0), int64(0)
	if dx {
		row = int64(i.InputShape.Size())
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(outputs))) {
		names += int64(len(name)) + 256
		if shape, err := i.OutputShape(name); err == nil { // of another the plugin says that it has none
			row += int64(shape.Size())
		}
	}
	if row > math.MaxInt32 { // no message has so many bytes
		return math.MaxInt32
	}
	return int(min(4*row*int64(n)+names+slack, math.MaxInt32))
}

// Configure hands over the settings. What the plugin refuses comes back as
// Diagnostics.
func (c *Client) Configure(ctx context.Context, conf sdk.Config) error {
	if err := sendable("the folder of its files", conf.BaseDir); err != nil {
		return err
	}
	m, err := c.rpc.Configure(ctx, &proto.ConfigureRequest{
		ConfigJson: conf.JSON, BaseDir: conf.BaseDir, InputShape: wire.Dims(conf.InputShape), Classes: int64(conf.Classes), Seed: conf.Seed,
	})
	if err != nil {
		return c.fromStatus(err)
	}
	if len(m.Diagnostics) == 0 {
		return nil
	}
	d := make(sdk.Diagnostics, 0, min(len(m.Diagnostics), wire.MaxDiagnostics+1))
	for i, x := range m.Diagnostics {
		if i == wire.MaxDiagnostics {
			d = append(d, sdk.Diagnostic{Message: fmt.Sprintf("and %d more", len(m.Diagnostics)-i)})
			break
		}
		d = append(d, sdk.Diagnostic{Pointer: wire.Text(c.shown(x.GetPointer()), wire.MaxName), Message: wire.Text(c.shown(x.GetMessage()), wire.MaxText)})
	}
	return d
}

// sendable says that a name cannot be sent: those of the protocol are UTF-8.
func sendable(what, name string) error {
	if utf8.ValidString(name) {
		return nil
	}
	return sdk.Errorf(sdk.InvalidArgument, "%s is %+q, which is not UTF-8, and a plugin cannot be told any other name: work in a folder that has one", what, name)
}

// Predict asks for the output alone.
func (c *Client) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	outs, err := c.Outputs(ctx, x)
	if err != nil {
		return nil, err
	}
	return outs[sdk.Output], nil
}

// Outputs asks for named outputs; no name means Output.
func (c *Client) Outputs(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error) {
	m, err := c.rpc.Predict(ctx, &proto.PredictRequest{X: wire.Encode(x), Outputs: outputs}, grpc.MaxCallRecvMsgSize(c.room(x.N(), outputs, false)))
	if err != nil {
		return nil, c.fromStatus(err)
	}
	return named(m, x.N(), outputs)
}

// Gradient pulls a cotangent of the output back.
func (c *Client) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	return c.Pull(ctx, x, map[string]*tensor.Tensor{sdk.Output: dy})
}

// Pull pulls cotangents of named outputs back in one call without a tape.
func (c *Client) Pull(ctx context.Context, x *tensor.Tensor, cotangents map[string]*tensor.Tensor) (*tensor.Tensor, error) {
	outputs := append(slices.Collect(maps.Keys(cotangents)), sdk.Output) // which had to be computed anyway
	room := grpc.MaxCallRecvMsgSize(c.room(x.N(), outputs, true))
	m, err := c.rpc.Gradient(ctx, &proto.GradientRequest{X: wire.Encode(x), Cotangents: wire.EncodeMap(cotangents)}, room)
	if err != nil {
		return nil, c.fromStatus(err)
	}
	return answered("dx", m.Dx, x.Shape)
}

// named checks that the plugin answered what was asked, for n rows.
func named(m *proto.PredictResponse, n int, names []string) (map[string]*tensor.Tensor, error) {
	if len(names) == 0 {
		names = []string{sdk.Output}
	}
	outs := make(map[string]*tensor.Tensor, len(names))
	for _, name := range names {
		w := m.GetOutputs()[name]
		if w == nil {
			return nil, sdk.Errorf(sdk.Internal, "the plugin's answer has no %q of %d rows", name, n)
		}
		t, err := wire.Decode(name, w)
		if err != nil {
			return nil, sdk.Errorf(sdk.Internal, "the plugin's answer: %w", err)
		}
		outs[name] = t
		if t.N() != n {
			return nil, sdk.Errorf(sdk.Internal, "the plugin's answer has no %q of %d rows", name, n)
		} else if i := wire.NotFinite(t.Data); i >= 0 {
			return nil, sdk.Errorf(sdk.Internal, "the plugin's %s has %v in row %d", name, t.Data[i], i/t.Stride())
		}
	}
	return outs, nil
}

// answered decodes and checks a tensor of a known shape.
func answered(name string, m *proto.Tensor, shape tensor.Shape) (*tensor.Tensor, error) {
	t, err := wire.Decode(name, m)
	if err != nil {
		return nil, sdk.Errorf(sdk.Internal, "the plugin's answer: %w", err)
	}
	if !t.Shape.Equal(shape) {
		return nil, sdk.Errorf(sdk.Internal, "the plugin's %s has shape %v, want %v", name, t.Shape, shape)
	}
	if i := wire.NotFinite(t.Data); i >= 0 {
		return nil, sdk.Errorf(sdk.Internal, "the plugin's %s has %v in row %d", name, t.Data[i], i/t.Stride())
	}
	return t, nil
}
