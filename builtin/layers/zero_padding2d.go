package layers

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// ZeroPadding2D puts zeros around an image.
type ZeroPadding2D struct {
	Padding Margin `yaml:"padding" doc:"rows and columns of zeros: 1, [height, width] or [[top, bottom], [left, right]]"`
}

// Make implements nn.Maker.
func (z ZeroPadding2D) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) != 3 {
		return nil, errRank("zero_padding2d", "height×width×channels", in)
	}
	m := z.Padding
	out := tensor.Shape{in[0] + m.Top + m.Bottom, in[1] + m.Left + m.Right, in[2]}
	return &zeroPadding{frame{inner: in.Clone(), outer: out, margin: m}}, nil
}

type zeroPadding struct{ frame }

// Kind implements nn.Described.
func (l *zeroPadding) Kind() string { return "zero_padding2d" }

// NoHiddenOutput implements nn.NoHiddenOutput.
func (l *zeroPadding) NoHiddenOutput() bool { return true }

// Out implements nn.Layer.
func (l *zeroPadding) Out() tensor.Shape { return l.outer }

// Toward implements nn.Adjustable.
func (l *zeroPadding) Toward(out tensor.Shape) []nn.Adjustment {
	if len(out) != 3 {
		return nil
	}
	in := tensor.Shape{out[0] - l.margin.Top - l.margin.Bottom, out[1] - l.margin.Left - l.margin.Right, out[2]}
	if in[0] < 1 || in[1] < 1 {
		return nil
	}
	return []nn.Adjustment{{In: in}}
}

// Plan implements nn.Layer.
func (l *zeroPadding) Plan(p *nn.Plan) { l.plan(p, l) }

// Forward implements nn.Layer.
func (l *zeroPadding) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, bufOuter, x.N())
	l.put(y, x)
	return y
}

// Graph implements nn.Graphed.
func (l *zeroPadding) Graph(b *graph.Builder, x graph.Value) graph.Value {
	m := l.margin
	return b.Op("Pad", []graph.Value{x, b.Ints(0, m.Top, m.Left, 0, 0, m.Bottom, m.Right, 0)})
}

// Backward implements nn.Layer.
func (l *zeroPadding) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	dx := w.Tensor(l, bufInner, dy.N())
	l.cut(dx, dy)
	return dx
}
