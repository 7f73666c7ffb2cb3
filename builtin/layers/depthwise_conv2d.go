package layers

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// DepthwiseConv2D convolves each channel on its own with DepthMultiplier
// kernels: result c·multiplier+m comes from channel c. The kernel is (kh, kw,
// in, multiplier).
type DepthwiseConv2D struct {
	DepthMultiplier int `yaml:"depth_multiplier" doc:"results per channel" check:">= 1, <= 65536"`
	Window          `yaml:",inline"`
	Kernel          `yaml:",inline"`
}

// Make implements nn.Maker.
func (c DepthwiseConv2D) Make(in tensor.Shape, r *rand.Rand) (nn.Layer, error) {
	k, s, m := c.KernelSize, c.Strides, c.DepthMultiplier
	h, w, err := slide2("depthwise_conv2d", in, k, s, c.Padding)
	if err != nil {
		return nil, err
	}
	params, err := c.linear(r, tensor.Shape{h.out, w.out, in[2] * m}, k[0], k[1], in[2], m)
	if err != nil {
		return nil, err
	}
	return &depthwise{
		linear: params,
		in:     in.Clone(),
		g: kernel.Depthwise{M: m, Conv: kernel.Conv{
			H: in[0], W: in[1], C: in[2], OH: h.out, OW: w.out, F: in[2] * m,
			KH: k[0], KW: k[1], SH: s[0], SW: s[1], Top: h.before, Left: w.before,
		}},
	}, nil
}

type depthwise struct {
	linear
	in tensor.Shape
	g  kernel.Depthwise
}

// Kind implements nn.Described.
func (l *depthwise) Kind() string { return "depthwise_conv2d" }

// FLOPs implements nn.Described.
func (l *depthwise) FLOPs() int64 {
	return int64(l.g.OH) * int64(l.g.OW) * l.perRow(2*int64(l.g.KH*l.g.KW))
}

// Plan implements nn.Layer.
func (l *depthwise) Plan(p *nn.Plan) {
	l.plan(p, l, l.in)
	p.Vector(l, len(l.kernel.Value.Data))
}

// Forward implements nn.Layer.
func (l *depthwise) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y, ep := l.begin(w, l, x)
	w.K.DepthwiseForward(y.Data, x.Data, l.kernel.Value.Data, x.N(), l.g, ep)
	l.activation.Finish(w.K, y)
	return y
}

// Graph implements nn.Graphed.
func (l *depthwise) Graph(b *graph.Builder, x graph.Value) graph.Value {
	w := b.Transpose(b.Floats(l.kernel.Value.Data, l.kernel.Value.Shape...), 2, 3, 0, 1) // (in, multiplier, kh, kw)
	w = b.Reshape(w, l.g.F, 1, l.g.KH, l.g.KW)
	y := b.Op("Conv", []graph.Value{b.Planes(x), w}, convolved(l.g.Conv, l.g.C)...)
	return l.finish(b, b.Images(y))
}

// Backward implements nn.Layer.
func (l *depthwise) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	x := w.Kept(l, bufIn)
	l.gradPre(w, l, dy)
	if g != nil {
		l.gradKernel(w, l, bufKernel, g, func(dk []float32) { w.K.DepthwiseKernel(dk, x.Data, dy.Data, x.N(), l.g) })
		l.gradBias(w, l, dy, g)
	}
	if w.ParamsOnly {
		return nil
	}
	dx := w.Tensor(l, bufIn, x.N())
	w.K.DepthwiseInput(dx.Data, dy.Data, l.kernel.Value.Data, x.N(), l.g)
	return dx
}
