// Package network is a trainable classifier made of layers: the model of
// the plugins mlp and cnn. It answers logits with exact gradients, offers its
// hidden layers, and gives the same bits for the same seed, whatever the batch
// and the number of threads.
package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Classifier is a network of one kind. Its methods may be called concurrently.
type Classifier struct {
	name, version string
	fresh         func() Architecture
	schema        []byte

	mu      sync.RWMutex
	config  sdk.Config
	arch    Architecture // nil before Configure
	shape   tensor.Shape
	classes int
	batch   int // Info.MaxBatch
	hidden  []sdk.HiddenLayer
	net     *net // nil until there are weights
}

// New is an unconfigured classifier. fresh returns a pointer to the settings'
// defaults.
func New(name, version string, fresh func() Architecture) *Classifier {
	return &Classifier{
		name: name, version: version, fresh: fresh,
		schema: spec.SchemaOf(fresh(), layers.Table()),
	}
}

// Schema implements sdk.Configurable.
func (c *Classifier) Schema() []byte { return bytes.Clone(c.schema) }

// Configure implements sdk.Configurable.
func (c *Classifier) Configure(_ context.Context, config sdk.Config) error {
	arch := c.fresh()
	if err := spec.DecodeJSON(config.JSON, arch, layers.Table()); err != nil {
		return diagnostics(err)
	}
	o := arch.Shared()
	shape, classes := tensor.Shape(o.InputShape), o.Classes
	var bad sdk.Diagnostics
	fault := func(pointer, format string, args ...any) {
		bad = append(bad, sdk.Diagnostic{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case len(shape) == 0:
		shape = config.InputShape
	case len(config.InputShape) > 0 && !shape.Equal(config.InputShape):
		fault("/input_shape", "is %v, the data has %v", shape, config.InputShape)
	}
	switch {
	case classes == 0:
		classes = config.Classes
	case config.Classes > 0 && classes != config.Classes:
		fault("/classes", "is %d, the data has %d", classes, config.Classes)
	}
	if len(shape) == 0 {
		fault("/input_shape", "is missing, and there is no data to infer it from")
	}
	switch {
	case classes < 1:
		fault("/classes", "is missing, and there is no data to infer it from")
	case classes == 1:
		fault("/classes", "is 1: a classifier tells two classes or more apart")
	}
	if k := len(o.Range.Lo); k > 1 && k != shape.Size() {
		fault("/range", "has %d numbers, want one or %d", k, shape.Size())
	}
	if len(bad) > 0 {
		return bad
	}
	config.JSON = bytes.Clone(config.JSON)
	n, err := build(arch, shape, classes, config.Seed)
	if err != nil {
		return err
	}
	if o.Weights != "" {
		if err := n.load(config.Path(o.Weights), o.Scale == "standard"); err != nil {
			return sdk.Diagnostics{{Pointer: "/weights", Message: err.Error()}}
		}
		if err := n.sealFor(config.JSON); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.config, c.arch, c.shape, c.classes = config, arch, shape, classes
	c.batch, c.hidden = n.batch, nil
	for _, h := range n.hidden {
		c.hidden = append(c.hidden, h.HiddenLayer)
	}
	if o.Weights == "" {
		n = nil // its shapes were wanted alone
	}
	c.replace(n)
	return nil
}

// replace puts a net in the place of the old one. c.mu is held.
func (c *Classifier) replace(n *net) {
	if c.net != nil {
		c.net.pool.Close()
	}
	c.net = n
}

// diagnostics are the faults of a decoder as the SDK tells them.
func diagnostics(err error) error {
	var d sdk.Diagnostics
	for _, f := range spec.Faults(err) {
		d = append(d, sdk.Diagnostic{Pointer: f.Path, Message: f.Message})
	}
	if d == nil {
		return sdk.Diagnostics{{Message: err.Error()}}
	}
	return d
}

// settings are the config as a mapping.
func settings(config []byte) (map[string]any, error) {
	m := map[string]any{}
	if len(bytes.TrimSpace(config)) == 0 {
		return m, nil
	}
	d := json.NewDecoder(bytes.NewReader(config))
	d.UseNumber()
	err := d.Decode(&m)
	return m, err
}

// sealFor seals with those settings that change what the network computes.
func (n *net) sealFor(config []byte) error {
	m, err := settings(config)
	if err != nil {
		return err
	}
	for _, key := range []string{"weights", "input_shape", "classes", "range"} {
		delete(m, key)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return n.seal(data)
}

// Info implements sdk.Classifier.
func (c *Classifier) Info(context.Context) (sdk.Info, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	info := sdk.Info{
		Name: c.name, Version: c.version,
		Output: sdk.Logits, Gradient: sdk.ExactGradient,
		Trainable: true, BatchInvariant: true, Differentiate: true,
		Schema: c.Schema(),
	}
	if c.arch == nil {
		return info, nil
	}
	info.InputShape, info.NumClasses = c.shape.Clone(), c.classes
	info.Layout = sdk.Flat
	if len(c.shape) == 3 {
		info.Layout = sdk.NHWC
	}
	r := c.arch.Shared().Range
	info.Lo, info.Hi = slices.Clone(r.Lo), slices.Clone(r.Hi)
	if c.net != nil {
		info.Ready, info.Digest = true, c.net.digest
	}
	info.MaxBatch, info.Hidden = c.batch, slices.Clone(c.hidden)
	return info, nil
}

// current is the net, if there is one, for rows x.
func (c *Classifier) current(x *tensor.Tensor) (*net, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch {
	case c.arch == nil:
		return nil, sdk.Errorf(sdk.FailedPrecondition, "%s: not configured", c.name)
	case c.net == nil:
		return nil, sdk.Errorf(sdk.FailedPrecondition, "%s: not trained: name weights in the config, or train it", c.name)
	case !x.Example().Equal(c.shape):
		return nil, sdk.Errorf(sdk.InvalidArgument, "%s: rows are %v, want %v", c.name, x.Example(), c.shape)
	}
	return c.net, nil
}

// Predict implements sdk.Classifier.
func (c *Classifier) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	n, err := c.current(x)
	if err != nil {
		return nil, err
	}
	return n.logits(ctx, x)
}

// logits runs rows in batches.
func (n *net) logits(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	out := tensor.Batch(x.N(), n.Out())
	s, err := n.pool.Take()
	if err != nil {
		return nil, err
	}
	defer n.pool.Give(s)
	last := len(n.seq.Layers()) - 1
	for lo := 0; lo < x.N(); lo += n.batch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hi := min(lo+n.batch, x.N())
		if err := s.forward(n, x.Rows(lo, hi), last, map[int]*tensor.Tensor{last: out.Rows(lo, hi)}, 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// layer is the index of a named output.
func (n *net) layer(name string) (int, error) {
	if name == sdk.Output {
		return len(n.seq.Layers()) - 1, nil
	}
	known := []string{sdk.Output}
	for _, h := range n.hidden {
		if name == sdk.HiddenPrefix+h.Name {
			return h.index, nil
		}
		known = append(known, sdk.HiddenPrefix+h.Name)
	}
	return 0, sdk.Errorf(sdk.InvalidArgument, "unknown output %q; known: %s", name, strings.Join(known, ", "))
}

// Forward implements sdk.Forwarder.
func (c *Classifier) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	n, err := c.current(x)
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if len(outputs) == 0 {
		outputs = []string{sdk.Output}
	}
	out, byIndex, last := map[string]*tensor.Tensor{}, map[int]*tensor.Tensor{}, 0
	for _, name := range outputs {
		i, err := n.layer(name)
		if err != nil {
			return nil, nil, err
		}
		t := tensor.Batch(x.N(), n.seq.Layers()[i].Out())
		out[name], byIndex[i], last = t, t, max(last, i)
	}
	s, err := n.pool.Take()
	if err != nil {
		return nil, nil, err
	}
	x = x.Clone() // the caller may change his rows before he pulls back
	tape := n.pool.Next()
	err = s.forward(n, x, last, byIndex, tape)
	n.pool.Give(s)
	if err != nil {
		return nil, nil, err
	}
	return out, n.pullback(x, tape, last, out), nil
}

// pullback pulls cotangents of the outputs back to x, on the tape or, if
// another call has taken its session, after another forward pass.
func (n *net) pullback(x *tensor.Tensor, tape uint64, last int, outputs map[string]*tensor.Tensor) sdk.Pullback {
	return func(ctx context.Context, cotangents map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		byIndex := map[int]*tensor.Tensor{}
		for _, name := range slices.Sorted(maps.Keys(cotangents)) {
			y, ok := outputs[name]
			if !ok {
				return nil, sdk.Errorf(sdk.InvalidArgument, "cotangent of %q, which the forward pass was not asked for", name)
			}
			if !cotangents[name].Shape.Equal(y.Shape) {
				return nil, sdk.Errorf(sdk.InvalidArgument, "cotangent of %q is %v, want %v", name, cotangents[name].Shape, y.Shape)
			}
			i, err := n.layer(name)
			if err != nil {
				return nil, err
			}
			byIndex[i] = cotangents[name]
		}
		if len(byIndex) == 0 || x.N() == 0 {
			return tensor.New(x.Shape...), nil
		}
		s, err := n.pool.Find(tape)
		if err != nil {
			return nil, err
		}
		defer n.pool.Give(s)
		if !s.Holds(tape) {
			again := map[int]*tensor.Tensor{}
			for i := range byIndex {
				again[i] = nil
			}
			if err := s.forward(n, x, last, again, tape); err != nil {
				return nil, err
			}
		}
		return s.backward(n, byIndex, last)
	}
}

var (
	_ sdk.Forwarder    = (*Classifier)(nil)
	_ sdk.Configurable = (*Classifier)(nil)
	_ sdk.Trainable    = (*Classifier)(nil)
)

// Graph implements launch.Graphed.
func (c *Classifier) Graph(b *graph.Builder, x graph.Value, hidden ...string) (graph.Value, []graph.Value, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.net == nil {
		return x, nil, errors.New("there are no weights yet")
	}
	return c.net.graph(b, x, hidden)
}
