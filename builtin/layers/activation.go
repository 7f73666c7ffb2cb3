package layers

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// ActivationLayer is an activation on its own.
type ActivationLayer struct {
	Activation nn.Activation `yaml:"activation" doc:"the function" required:"true"`
}

// Make implements nn.Maker.
func (a ActivationLayer) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if a.Activation.Softmax() && len(in) == 0 {
		return nil, errRank("activation", "at least one dimension", in)
	}
	return &activation{kind: "activation", shape: in.Clone(), act: a.Activation}, nil
}

// LeakyReLU is max(x, NegativeSlope·x).
type LeakyReLU struct {
	NegativeSlope float64 `yaml:"negative_slope" doc:"slope where x is negative" check:">= 0"`
}

// Make implements nn.Maker.
func (l LeakyReLU) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	act := nn.Activation{Name: "leaky_relu", Alpha: l.NegativeSlope}
	return &activation{kind: "leaky_relu", shape: in.Clone(), act: act}, nil
}

type activation struct {
	kind  string
	shape tensor.Shape
	act   nn.Activation
}

// Kind implements nn.Described.
func (l *activation) Kind() string { return l.kind }

// FLOPs implements nn.Described: one for each number.
func (l *activation) FLOPs() int64 { return int64(l.shape.Size()) }

// Out implements nn.Layer.
func (l *activation) Out() tensor.Shape { return l.shape }

// Params implements nn.Layer.
func (l *activation) Params() []*nn.Param { return nil }

// Plan implements nn.Layer.
func (l *activation) Plan(p *nn.Plan) { p.Tensor(l, l.shape) }

// Forward implements nn.Layer.
func (l *activation) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, 0, x.N())
	w.Keep(l, 0, x)
	l.act.Apply(w.K, y, x)
	return y
}

// Graph implements nn.Graphed.
func (l *activation) Graph(b *graph.Builder, x graph.Value) graph.Value { return l.act.Graph(b, x) }

// Backward implements nn.Layer.
func (l *activation) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	l.act.Grad(w.K, dy, w.Kept(l, 0), w.Tensor(l, 0, dy.N()))
	return dy
}
