package layers

import (
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Residual adds a shortcut to what its layers make of the input:
// y = act(layers(x) + shortcut(x)) (He et al. 2016, arXiv:1512.03385). A
// projection is a 1×1 convolution with the strides that lead to the layers'
// result, or a dense layer for flat shapes.
type Residual struct {
	Layers     []nn.Maker    `yaml:"layers" doc:"layers parallel to the shortcut" required:"true"`
	Shortcut   string        `yaml:"shortcut" doc:"identity, or projection to another shape" enum:"identity|projection"`
	Activation nn.Activation `yaml:"activation" doc:"function of the sum"`
}

// Make implements nn.Maker. An error of an inner layer is a *nn.LayerError.
func (o Residual) Make(in tensor.Shape, r *rand.Rand) (nn.Layer, error) {
	seq, err := nn.Build(o.Layers, in, r)
	if err != nil {
		return nil, err
	}
	l := &residual{in: in.Clone(), seq: seq, act: o.Activation}
	l.params = nn.Prefix("layers", seq.Params())
	if o.Shortcut != "projection" {
		if !in.Equal(seq.Out()) {
			return nil, fmt.Errorf("residual: the layers make %v of %v; an identity shortcut wants equal shapes (shortcut: projection)", seq.Out(), in)
		}
		return l, nil
	}
	maker, err := projection(in, seq.Out())
	if err != nil {
		return nil, err
	}
	if l.shortcut, err = maker.Make(in, r); err != nil {
		return nil, err
	}
	l.params = append(l.params[:len(l.params):len(l.params)], nn.Prefix("shortcut", l.shortcut.Params())...)
	return l, nil
}

// projection is the layer that leads from shape in to shape out.
func projection(in, out tensor.Shape) (nn.Maker, error) {
	if len(in) == 1 && len(out) == 1 {
		return NewDense(out[0]), nil
	}
	if len(in) != 3 || len(out) != 3 {
		return nil, fmt.Errorf("residual: no projection leads from %v to %v: want two images or two flat shapes", in, out)
	}
	c := NewConv2D(out[2], 1)
	c.Padding = "same"
	for i := range 2 {
		s := (in[i] + out[i] - 1) / out[i]
		if (in[i]+s-1)/s != out[i] {
			return nil, fmt.Errorf("residual: no stride of a projection leads from %v to %v", in, out)
		}
		c.Strides[i] = s
	}
	return c, nil
}

type residual struct {
	in       tensor.Shape
	seq      *nn.Sequence
	shortcut nn.Layer // nil: identity
	act      nn.Activation
	params   []*nn.Param
}

// The buffers of a residual.
const (
	resSum  = iota // before the activation
	resOut         // after it
	resCopy        // the gradient that goes through the shortcut
)

// Kind implements nn.Described.
func (l *residual) Kind() string { return "residual" }

// FLOPs implements nn.Described.
func (l *residual) FLOPs() int64 {
	n := l.seq.FLOPs() + int64(l.Out().Size())
	if d, ok := l.shortcut.(nn.Described); ok {
		n += d.FLOPs()
	}
	return n
}

// Inner implements nn.Nested.
func (l *residual) Inner() *nn.Sequence { return l.seq }

// Out implements nn.Layer.
func (l *residual) Out() tensor.Shape { return l.seq.Out() }

// Params implements nn.Layer.
func (l *residual) Params() []*nn.Param { return l.params }

// Plan implements nn.Layer.
func (l *residual) Plan(p *nn.Plan) {
	for range resCopy + 1 {
		p.Tensor(l, l.Out())
	}
	l.seq.Plan(p)
	if l.shortcut != nil {
		l.shortcut.Plan(p)
	}
}

// Forward implements nn.Layer.
func (l *residual) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	sum, y := w.Tensor(l, resSum, x.N()), w.Tensor(l, resOut, x.N())
	copy(sum.Data, l.seq.Forward(w, x).Data)
	if l.shortcut != nil {
		x = l.shortcut.Forward(w, x)
	}
	w.K.Add(sum.Data, x.Data)
	l.act.Apply(w.K, y, sum)
	return y
}

// Graph implements nn.Graphed.
func (l *residual) Graph(b *graph.Builder, x graph.Value) graph.Value {
	y := l.seq.Graph(b, x)
	if l.shortcut != nil {
		x = nn.Graph(b, l.shortcut, x)
	}
	return l.act.Graph(b, b.Add(y, x))
}

// Backward implements nn.Layer.
func (l *residual) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	only := w.ParamsOnly
	w.ParamsOnly = false
	l.act.Grad(w.K, dy, w.Tensor(l, resSum, dy.N()), w.Tensor(l, resOut, dy.N()))
	through := w.Tensor(l, resCopy, dy.N())
	copy(through.Data, dy.Data)
	if l.shortcut != nil {
		through = l.shortcut.Backward(w, through, g)
	}
	dx := l.seq.Backward(w, dy, g)
	w.K.Add(dx.Data, through.Data)
	w.ParamsOnly = only
	return dx
}
