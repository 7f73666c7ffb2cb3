package layers

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// linear is what dense layers and convolutions share: a kernel, a bias, an
// activation, and the buffers of a pass.
type linear struct {
	out          tensor.Shape
	width        int // of the last dimension of out
	kernel, bias *nn.Param
	activation   nn.Activation
}

// The buffers of a linear layer in its workspace.
const (
	bufIn    = iota // the gradient at the input; keeps the input
	bufOut          // the result
	bufBias         // one batch's gradient of the bias
	bufPre          // the value before the activation, where its gradient needs it
	bufExtra        // first number that is free for the layer itself
)

// linear makes the params of a layer with results of shape out and a kernel
// of the given shape; the bias has one number per channel of out. What holds
// too many numbers is an error.
func (k Kernel) linear(r *rand.Rand, out tensor.Shape, shape ...int) (linear, error) {
	if err := errors.Join(nn.Fits(out...), nn.Fits(shape...)); err != nil {
		return linear{}, err
	}
	width := out[len(out)-1]
	l := linear{out: out, width: width, activation: k.Activation}
	l.kernel = &nn.Param{
		Name: "kernel", Value: k.KernelInitializer.New(r, shape...),
		L1: float32(k.KernelL1), L2: float32(k.KernelL2),
	}
	if k.UseBias {
		l.bias = &nn.Param{Name: "bias", Value: k.BiasInitializer.New(r, width)}
	}
	return l, nil
}

// Out implements nn.Layer.
func (l *linear) Out() tensor.Shape { return l.out }

// Params implements nn.Layer.
func (l *linear) Params() []*nn.Param {
	if l.bias == nil {
		return []*nn.Param{l.kernel}
	}
	return []*nn.Param{l.kernel, l.bias}
}

// filters is the option that gives a convolution the channels of out, if it has
// others.
func (l *linear) filters(out tensor.Shape) []string {
	if out[2] == l.width {
		return nil
	}
	return []string{fmt.Sprintf("filters: %d", out[2])}
}

// perRow counts the operations of a last dimension's vector, each of whose
// numbers takes n of the product.
func (l *linear) perRow(n int64) int64 {
	if l.bias != nil {
		n++
	}
	return n * int64(l.width)
}

func (l *linear) plan(p *nn.Plan, self nn.Layer, in tensor.Shape) {
	p.Tensor(self, in)
	p.Tensor(self, l.out)
	p.Vector(self, l.width)
	p.Tensor(self, l.out)
}

// begin keeps x and gives the result's buffer and the product's epilogue.
func (l *linear) begin(w *nn.Workspace, self nn.Layer, x *tensor.Tensor) (*tensor.Tensor, kernel.Epilogue) {
	w.Keep(self, bufIn, x)
	ep := kernel.Epilogue{Act: l.activation.Act()}
	if l.bias != nil {
		ep.Bias = l.bias.Value.Data
	}
	if l.activation.NeedsInput() {
		ep.Pre = w.Tensor(self, bufPre, x.N()).Data
	}
	return w.Tensor(self, bufOut, x.N()), ep
}

// finish adds bias and activation to a product, (n, …, width), as nodes.
func (l *linear) finish(b *graph.Builder, y graph.Value) graph.Value {
	if l.bias != nil {
		y = b.Add(y, b.Floats(l.bias.Value.Data, l.width))
	}
	return l.activation.Graph(b, y)
}

// gradPre turns dy into the gradient before the activation, in place.
func (l *linear) gradPre(w *nn.Workspace, self nn.Layer, dy *tensor.Tensor) {
	var pre *tensor.Tensor
	if l.activation.NeedsInput() {
		pre = w.Tensor(self, bufPre, dy.N())
	}
	l.activation.Grad(w.K, dy, pre, w.Tensor(self, bufOut, dy.N()))
}

func (l *linear) gradBias(w *nn.Workspace, self nn.Layer, dy *tensor.Tensor, g *nn.Grads) {
	if l.bias == nil {
		return
	}
	sum := w.Vector(self, bufBias)
	w.K.ColSum(sum, dy.Data)
	w.K.Add(g.Of(l.bias).Data, sum)
}

// gradKernel adds a gradient of the kernel, which compute writes whole: straight
// into g, or by way of the layer's vector buffer if something is there already.
func (l *linear) gradKernel(w *nn.Workspace, self nn.Layer, buffer int, g *nn.Grads, compute func(dk []float32)) {
	d, fresh := g.Take(l.kernel)
	if fresh {
		compute(d.Data)
		return
	}
	dk := w.Vector(self, buffer)
	compute(dk)
	w.K.Add(d.Data, dk)
}
