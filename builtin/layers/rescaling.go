package layers

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Rescaling is Scale·x + Offset.
type Rescaling struct {
	Scale  float64 `yaml:"scale" doc:"factor of every number" required:"true"`
	Offset float64 `yaml:"offset" doc:"added after scaling"`
}

// Make implements nn.Maker.
func (o Rescaling) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	return &rescaling{shape: in.Clone(), scale: float32(o.Scale), offset: float32(o.Offset)}, nil
}

type rescaling struct {
	shape         tensor.Shape
	scale, offset float32
}

// Kind implements nn.Described.
func (l *rescaling) Kind() string { return "rescaling" }

// FLOPs implements nn.Described.
func (l *rescaling) FLOPs() int64 { return 2 * int64(l.shape.Size()) }

// NoHiddenOutput implements nn.NoHiddenOutput.
func (l *rescaling) NoHiddenOutput() bool { return true }

// Out implements nn.Layer.
func (l *rescaling) Out() tensor.Shape { return l.shape }

// Params implements nn.Layer.
func (l *rescaling) Params() []*nn.Param { return nil }

// Plan implements nn.Layer.
func (l *rescaling) Plan(p *nn.Plan) { p.Tensor(l, l.shape) }

// Forward implements nn.Layer.
func (l *rescaling) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, 0, x.N())
	w.K.Scale(y.Data, x.Data, l.scale, l.offset)
	return y
}

// Backward implements nn.Layer.
func (l *rescaling) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	w.K.Scale(dy.Data, dy.Data, l.scale, 0)
	return dy
}

// Graph implements nn.Graphed.
func (l *rescaling) Graph(b *graph.Builder, x graph.Value) graph.Value {
	return b.Add(b.Mul(x, b.Floats([]float32{l.scale})), b.Floats([]float32{l.offset}))
}
