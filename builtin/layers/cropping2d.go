package layers

import (
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Cropping2D cuts rows and columns off an image. What is cut has gradient zero.
type Cropping2D struct {
	Cropping Margin `yaml:"cropping" doc:"rows and columns to cut off, none unless given: 1, [height, width] or [[top, bottom], [left, right]]"`
}

// Make implements nn.Maker.
func (c Cropping2D) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) != 3 {
		return nil, errRank("cropping2d", "height×width×channels", in)
	}
	m := c.Cropping
	out := tensor.Shape{in[0] - m.Top - m.Bottom, in[1] - m.Left - m.Right, in[2]}
	if out[0] < 1 || out[1] < 1 {
		return nil, fmt.Errorf("cropping2d: input is %v: nothing is left of it without %d rows and %d columns", in, m.Top+m.Bottom, m.Left+m.Right)
	}
	return &cropping{frame{inner: out, outer: in.Clone(), margin: m}}, nil
}

type cropping struct{ frame }

// Kind implements nn.Described.
func (l *cropping) Kind() string { return "cropping2d" }

// Out implements nn.Layer.
func (l *cropping) Out() tensor.Shape { return l.inner }

// Toward implements nn.Adjustable: by another cropping, if the image is large
// enough, or of another image.
func (l *cropping) Toward(out tensor.Shape) []nn.Adjustment {
	if len(out) != 3 {
		return nil
	}
	m := l.margin
	list := []nn.Adjustment{{In: tensor.Shape{out[0] + m.Top + m.Bottom, out[1] + m.Left + m.Right, out[2]}}}
	if h, w := l.outer[0]-out[0], l.outer[1]-out[1]; h >= 0 && w >= 0 {
		m = Margin{Top: h / 2, Bottom: h - h/2, Left: w / 2, Right: w - w/2}
		list = append(list, nn.Adjustment{
			In:      tensor.Shape{l.outer[0], l.outer[1], out[2]},
			Options: []string{"cropping: " + yaml(m.EncodeValue())},
		})
	}
	return list
}

// Plan implements nn.Layer.
func (l *cropping) Plan(p *nn.Plan) { l.plan(p, l) }

// Forward implements nn.Layer.
func (l *cropping) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, bufInner, x.N())
	l.cut(y, x)
	return y
}

// Graph implements nn.Graphed.
func (l *cropping) Graph(b *graph.Builder, x graph.Value) graph.Value {
	m := l.margin
	return b.Slice(b.Slice(x, 1, m.Top, m.Top+l.inner[0]), 2, m.Left, m.Left+l.inner[1])
}

// Backward implements nn.Layer.
func (l *cropping) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	dx := w.Tensor(l, bufOuter, dy.N())
	l.put(dx, dy)
	return dx
}
