// Package caller is the classifier of the plugin caller: a model inside the
// program that started vaeguard, such as a notebook, which lends it over a socket
// of its own. So a model that is in memory there, on a GPU, or changed by the hour,
// is guarded as it is, and no second program is written for it.
//
// The socket carries the protocol of package sdk/proto in frames (link.go), without
// gRPC, which the lender need not have. Nobody else can be at either end: each
// proves to the other that it knows the key which the program gave to vaeguard in
// its environment.
package caller

import (
	"bytes"
	"context"
	"os"
	"slices"
	"sync"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Name and Version are the plugin's.
const (
	Name    = "caller"
	Version = "1.0.0"
)

// Variable is where the program that started vaeguard says how it is reached:
// "unix KEY PATH" or "tcp KEY HOST:PORT", the key 32 bytes in hex.
const Variable = "VAEGUARD_CALLER"

// schema: there is nothing to set. The model describes itself.
const schema = `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "properties": {}
}`

// Absent is the error where nobody lends a model.
const Absent = "the model is lent by the program that started vaeguard, such as Python's package, or is one of a Go program's own, and here is none: " +
	"open the detector there, with the model (Python: vaeguard.Detector(path, model=…), Go: host.OpenOptions.Model), or name another form of the same model (--classifier plugin=onnx --classifier config.model=FILE)"

// Classifier is a lent model. Its methods may be called concurrently; the lender
// answers one call after the other.
type Classifier struct {
	mu     sync.Mutex
	info   sdk.Info
	tapes  bool                               // the lender keeps one: a prediction and its gradients cost one forward pass
	link   *link                              // nil before Configure
	client *remote.Client                     // over link
	lanes  map[context.Context]*remote.Stream // of calls under way, closed with them
}

var (
	_ sdk.Forwarder    = (*Classifier)(nil)
	_ sdk.Configurable = (*Classifier)(nil)
)

// New is an unconfigured classifier.
func New() sdk.Classifier { return &Classifier{info: blank()} }

func blank() sdk.Info {
	return sdk.Info{Name: Name, Version: Version, Output: sdk.Logits, Gradient: sdk.NoGradient, Schema: []byte(schema)}
}

// Schema implements sdk.Configurable.
func (c *Classifier) Schema() []byte { return []byte(schema) }

// Configure implements sdk.Configurable: it finds the lender by Variable and asks
// for the model's description.
func (c *Classifier) Configure(ctx context.Context, config sdk.Config) error {
	if err := sdk.CheckConfig([]byte(schema), config.JSON); err != nil {
		return err
	}
	where := os.Getenv(Variable)
	if where == "" {
		return sdk.Errorf(sdk.FailedPrecondition, Absent)
	}
	l, err := newLink(where)
	if err != nil {
		return err
	}
	client := remote.NewClient(l)
	config.JSON, config.BaseDir = []byte("{}"), ""
	err = client.Configure(ctx, config)
	var info sdk.Info
	if err == nil {
		info, err = client.Info(ctx)
	}
	if err != nil {
		l.close()
		return err
	}
	tapes := info.Differentiate
	info.Name, info.Version, info.Schema, info.Trainable = Name, Version, []byte(schema), false
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.link.close()
	}
	c.link, c.client, c.info, c.tapes = l, client, info, tapes
	return nil
}

// Info implements sdk.Classifier.
func (c *Classifier) Info(context.Context) (sdk.Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := c.info
	info.InputShape, info.Classes, info.Schema = info.InputShape.Clone(), slices.Clone(info.Classes), bytes.Clone(info.Schema)
	info.Lo, info.Hi, info.Hidden = slices.Clone(info.Lo), slices.Clone(info.Hi), slices.Clone(info.Hidden)
	return info, nil
}

// Predict implements sdk.Classifier.
func (c *Classifier) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	client, _, err := c.ready()
	if err != nil {
		return nil, err
	}
	return client.Predict(ctx, x)
}

// ready is the connection of a configured classifier.
func (c *Classifier) ready() (client *remote.Client, tapes bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client == nil {
		return nil, false, sdk.Errorf(sdk.FailedPrecondition, "%s: not configured", Name)
	}
	return c.client, c.tapes, nil
}

// Forward implements sdk.Forwarder. Without a tape at the lender's, a pullback goes
// forward again there.
func (c *Classifier) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	client, tapes, err := c.ready()
	if err != nil {
		return nil, nil, err
	}
	if !tapes {
		outs, err := client.Outputs(ctx, x, outputs...)
		return outs, func(ctx context.Context, cotangents map[string]*tensor.Tensor) (*tensor.Tensor, error) {
			return client.Pull(ctx, x, cotangents)
		}, err
	}
	s, err := c.lane(ctx, client, x.N(), outputs)
	if err != nil {
		return nil, nil, err
	}
	outs, err := s.Forward(x, outputs...)
	if err != nil {
		c.drop(ctx)
		return nil, nil, err
	}
	shape := x.Shape.Clone()
	return outs, func(inner context.Context, cotangents map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx, err := s.Backward(cotangents, shape)
		if err != nil {
			c.drop(ctx)
		}
		if inner.Err() != nil {
			return nil, inner.Err()
		}
		return dx, err
	}, nil
}

// lane is the stream of the calls with one context, which ends with it: a host's
// stream has one, and so does a call alone.
func (c *Classifier) lane(ctx context.Context, client *remote.Client, rows int, outputs []string) (*remote.Stream, error) {
	c.mu.Lock()
	s := c.lanes[ctx]
	c.mu.Unlock()
	if s != nil && s.Holds(rows, outputs...) {
		return s, nil
	}
	c.drop(ctx)
	s, err := client.StreamRows(ctx, rows, outputs...)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.lanes == nil {
		c.lanes = map[context.Context]*remote.Stream{}
	}
	c.lanes[ctx] = s
	c.mu.Unlock()
	context.AfterFunc(ctx, func() { c.drop(ctx) })
	return s, nil
}

// drop ends a lane, with the tape at its other end.
func (c *Classifier) drop(ctx context.Context) {
	c.mu.Lock()
	s := c.lanes[ctx]
	delete(c.lanes, ctx)
	c.mu.Unlock()
	if s != nil {
		s.Close()
	}
}
