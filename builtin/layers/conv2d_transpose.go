package layers

import (
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Conv2DTranspose is the gradient of a convolution used as a layer: it spreads
// each input over a window of the result. The kernel is (kh, kw, filters, in).
// With padding same a side becomes in·s, with valid in·s + max(k − s, 0); with
// an output padding p it becomes (in − 1)·s + k mod 2 + p and (in − 1)·s + k + p,
// which leads back to the odd sides that a convolution of stride s halves.
type Conv2DTranspose struct {
	Filters       int `yaml:"filters" doc:"channels of the result" check:">= 1" required:"true"`
	Window        `yaml:",inline"`
	OutputPadding OutputPadding `yaml:"output_padding" doc:"what a side has beyond (in − 1)·strides + kernel_size (valid) or + kernel_size mod 2 (same), less than its stride; null: in·strides (same), in·strides + max(kernel_size − strides, 0) (valid)"`
	Kernel        `yaml:",inline"`
}

// Validate implements registry.Validator.
func (c Conv2DTranspose) Validate() error {
	if p := c.OutputPadding; p.Given && (p.Size[0] >= c.Strides[0] || p.Size[1] >= c.Strides[1]) {
		return fmt.Errorf("output_padding is %v, want less than strides, which is %v", p.EncodeValue(), c.Strides.EncodeValue())
	}
	return nil
}

// Make implements nn.Maker.
func (c Conv2DTranspose) Make(in tensor.Shape, r *rand.Rand) (nn.Layer, error) {
	if len(in) != 3 {
		return nil, errRank("conv2d_transpose", "height×width×channels", in)
	}
	k, s := c.KernelSize, c.Strides
	h, w := spread(in[0], k[0], s[0], c.Padding), spread(in[1], k[1], s[1], c.Padding)
	if p := c.OutputPadding; p.Given {
		h, w = spreadTo(in[0], k[0], s[0], p.Size[0], c.Padding), spreadTo(in[1], k[1], s[1], p.Size[1], c.Padding)
	}
	if h.out < 1 || w.out < 1 {
		return nil, fmt.Errorf("conv2d_transpose: input is %v: nothing is left of it with output_padding %v", in, c.OutputPadding.EncodeValue())
	}
	params, err := c.linear(r, tensor.Shape{h.out, w.out, c.Filters}, k[0], k[1], c.Filters, in[2])
	if err != nil {
		return nil, err
	}
	return &conv2dTranspose{
		linear: params,
		in:     in.Clone(),
		window: c.Window,
		more:   c.OutputPadding,
		g: kernel.Conv{
			H: h.out, W: w.out, C: c.Filters, OH: in[0], OW: in[1], F: in[2],
			KH: k[0], KW: k[1], SH: s[0], SW: s[1], Top: h.before, Left: w.before,
		},
	}, nil
}

// conv2dTranspose runs the convolution g from its result to its input.
type conv2dTranspose struct {
	linear
	in     tensor.Shape
	window Window
	more   OutputPadding
	g      kernel.Conv
}

// Kind implements nn.Described.
func (l *conv2dTranspose) Kind() string { return "conv2d_transpose" }

// FLOPs implements nn.Described.
func (l *conv2dTranspose) FLOPs() int64 {
	n := 2 * int64(l.in.Size()) * int64(l.g.KH*l.g.KW*l.g.C)
	if l.bias != nil {
		n += int64(l.out.Size())
	}
	return n
}

// Product implements nn.Multiplied: that of the convolution g.
func (l *conv2dTranspose) Product() (rows, in, out int, transposed bool) {
	return l.g.OH * l.g.OW, l.g.KH * l.g.KW * l.g.C, l.g.F, true
}

// Toward implements nn.Adjustable: with the output padding as it is, and with
// the one that leads to out.
func (l *conv2dTranspose) Toward(out tensor.Shape) []nn.Adjustment {
	if len(out) != 3 {
		return nil
	}
	var list []nn.Adjustment
	add := func(h, w int, options []string) {
		if h > 0 && w > 0 {
			list = append(list, nn.Adjustment{In: tensor.Shape{h, w, l.in[2]}, Options: options})
		}
	}
	k, s, padding := l.window.KernelSize, l.window.Strides, l.window.Padding
	more := OutputPadding{Given: true}
	var in [2]int
	for i := range in {
		in[i], more.Size[i] = spreadToBack(out[i], k[i], s[i], padding)
	}
	if !l.more.Given {
		add(spreadBack(out[0], k[0], s[0], padding), spreadBack(out[1], k[1], s[1], padding), l.filters(out))
	}
	if l.more == more {
		add(in[0], in[1], l.filters(out))
	} else {
		add(in[0], in[1], append(l.filters(out), "output_padding: "+yaml(more.EncodeValue())))
	}
	return list
}

// Plan implements nn.Layer.
func (l *conv2dTranspose) Plan(p *nn.Plan) {
	l.plan(p, l, l.in)
	p.Vector(l, len(l.kernel.Value.Data))
}

// Forward implements nn.Layer.
func (l *conv2dTranspose) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y, ep := l.begin(w, l, x)
	w.K.ConvInput(y.Data, x.Data, l.kernel.Value.Data, x.N(), l.g, ep)
	l.activation.Finish(w.K, y)
	return y
}

// Graph implements nn.Graphed.
func (l *conv2dTranspose) Graph(b *graph.Builder, x graph.Value) graph.Value {
	w := b.Transpose(b.Floats(l.kernel.Value.Data, l.kernel.Value.Shape...), 3, 2, 0, 1) // (in, filters, kh, kw)
	below, moreH := trimmed(l.g.H, l.g.OH, l.g.KH, l.g.SH, l.g.Top)
	right, moreW := trimmed(l.g.W, l.g.OW, l.g.KW, l.g.SW, l.g.Left)
	y := b.Op("ConvTranspose", []graph.Value{b.Planes(x), w},
		graph.Is("kernel_shape", l.g.KH, l.g.KW), graph.Is("strides", l.g.SH, l.g.SW),
		graph.Is("pads", l.g.Top, l.g.Left, below, right), graph.Is("output_padding", moreH, moreW))
	return l.finish(b, b.Images(y))
}

// trimmed is what is cut off behind, or put there, so that in windows give out
// elements.
func trimmed(out, in, k, s, before int) (cut, more int) {
	d := (in-1)*s + k - before - out
	return max(d, 0), max(-d, 0)
}

// Backward implements nn.Layer.
func (l *conv2dTranspose) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	x := w.Kept(l, bufIn)
	l.gradPre(w, l, dy)
	if g != nil {
		l.gradKernel(w, l, bufKernel, g, func(dk []float32) { w.K.ConvKernel(dk, dy.Data, x.Data, x.N(), l.g) })
		l.gradBias(w, l, dy, g)
	}
	if w.ParamsOnly {
		return nil
	}
	dx := w.Tensor(l, bufIn, x.N())
	w.K.ConvForward(dx.Data, dy.Data, l.kernel.Value.Data, x.N(), l.g, kernel.Epilogue{})
	return dx
}
