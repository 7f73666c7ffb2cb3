package layers

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Conv2D is a cross-correlation of an image with a kernel (kh, kw, in, filters).
type Conv2D struct {
	Filters int `yaml:"filters" doc:"channels of the result" check:">= 1" required:"true"`
	Window  `yaml:",inline"`
	Kernel  `yaml:",inline"`
}

// NewConv2D is a convolution with the defaults.
func NewConv2D(filters, size int) Conv2D {
	c := Conv2D{Filters: filters, Window: newWindow(), Kernel: newKernel()}
	c.KernelSize = nn.Pair{size, size}
	return c
}

// Make implements nn.Maker.
func (c Conv2D) Make(in tensor.Shape, r *rand.Rand) (nn.Layer, error) {
	k, s := c.KernelSize, c.Strides
	h, w, err := slide2("conv2d", in, k, s, c.Padding)
	if err != nil {
		return nil, err
	}
	params, err := c.linear(r, tensor.Shape{h.out, w.out, c.Filters}, k[0], k[1], in[2], c.Filters)
	if err != nil {
		return nil, err
	}
	return &conv2d{
		linear:  params,
		in:      in.Clone(),
		padding: c.Padding,
		g: kernel.Conv{
			H: in[0], W: in[1], C: in[2], OH: h.out, OW: w.out, F: c.Filters,
			KH: k[0], KW: k[1], SH: s[0], SW: s[1], Top: h.before, Left: w.before,
		},
	}, nil
}

type conv2d struct {
	linear
	in      tensor.Shape
	padding string
	g       kernel.Conv
}

// bufKernel is a convolution's one batch's gradient of the kernel.
const bufKernel = bufExtra

// Kind implements nn.Described.
func (l *conv2d) Kind() string { return "conv2d" }

// FLOPs implements nn.Described.
func (l *conv2d) FLOPs() int64 {
	return int64(l.g.OH) * int64(l.g.OW) * l.perRow(2*int64(l.g.KH*l.g.KW*l.g.C))
}

// Product implements nn.Multiplied.
func (l *conv2d) Product() (rows, in, out int, transposed bool) {
	return l.g.OH * l.g.OW, l.g.KH * l.g.KW * l.g.C, l.g.F, false
}

// Toward implements nn.Adjustable.
func (l *conv2d) Toward(out tensor.Shape) []nn.Adjustment {
	if len(out) != 3 {
		return nil
	}
	h, w := slideBack(out[0], l.in[0], l.g.KH, l.g.SH, l.padding), slideBack(out[1], l.in[1], l.g.KW, l.g.SW, l.padding)
	return []nn.Adjustment{{In: tensor.Shape{h, w, l.in[2]}, Options: l.filters(out)}}
}

// Plan implements nn.Layer.
func (l *conv2d) Plan(p *nn.Plan) {
	l.plan(p, l, l.in)
	p.Vector(l, len(l.kernel.Value.Data))
}

// Forward implements nn.Layer.
func (l *conv2d) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y, ep := l.begin(w, l, x)
	w.K.ConvForward(y.Data, x.Data, l.kernel.Value.Data, x.N(), l.g, ep)
	l.activation.Finish(w.K, y)
	return y
}

// Graph implements nn.Graphed.
func (l *conv2d) Graph(b *graph.Builder, x graph.Value) graph.Value {
	w := b.Transpose(b.Floats(l.kernel.Value.Data, l.kernel.Value.Shape...), 3, 2, 0, 1)
	y := b.Op("Conv", []graph.Value{b.Planes(x), w}, convolved(l.g, 1)...)
	return l.finish(b, b.Images(y))
}

// convolved are the attributes of an ONNX Conv or pooling.
func convolved(g kernel.Conv, groups int) []graph.Attr {
	return []graph.Attr{
		graph.Is("kernel_shape", g.KH, g.KW), graph.Is("strides", g.SH, g.SW), graph.I("group", groups),
		graph.Is("pads", g.Top, g.Left, after(g.H, g.OH, g.KH, g.SH, g.Top), after(g.W, g.OW, g.KW, g.SW, g.Left)),
	}
}

// after is the padding behind in elements that out windows reach into.
func after(in, out, k, s, before int) int { return max((out-1)*s+k-in-before, 0) }

// Backward implements nn.Layer.
func (l *conv2d) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	x := w.Kept(l, bufIn)
	l.gradPre(w, l, dy)
	if g != nil {
		l.gradKernel(w, l, bufKernel, g, func(dk []float32) { w.K.ConvKernel(dk, x.Data, dy.Data, x.N(), l.g) })
		l.gradBias(w, l, dy, g)
	}
	if w.ParamsOnly {
		return nil
	}
	dx := w.Tensor(l, bufIn, x.N())
	w.K.ConvInput(dx.Data, dy.Data, l.kernel.Value.Data, x.N(), l.g, kernel.Epilogue{})
	return dx
}
