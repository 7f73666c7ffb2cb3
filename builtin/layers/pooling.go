package layers

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Pooling are the options of a pooling layer.
type Pooling struct {
	PoolSize nn.Pair `yaml:"pool_size" doc:"height and width of a window"`
	Strides  nn.Pair `yaml:"strides" doc:"steps between windows; default: pool_size"`
	Padding  string  `yaml:"padding" doc:"same: windows may extend past the edges, which do not count; valid: they may not" enum:"valid|same"`
}

func newPooling() Pooling { return Pooling{PoolSize: nn.Pair{2, 2}, Padding: "valid"} }

func (o Pooling) make(kind string, in tensor.Shape) (*pooling, error) {
	k, s := o.PoolSize, o.Strides.Or(o.PoolSize)
	h, w, err := slide2(kind, in, k, s, o.Padding)
	if err != nil {
		return nil, err
	}
	g := kernel.Pool{
		H: in[0], W: in[1], C: in[2], OH: h.out, OW: w.out,
		KH: k[0], KW: k[1], SH: s[0], SW: s[1], Top: h.before, Left: w.before,
	}
	return &pooling{kind: kind, in: in.Clone(), out: tensor.Shape{h.out, w.out, in[2]}, g: g}, nil
}

// MaxPooling2D is the largest number of each window, channel by channel.
type MaxPooling2D struct {
	Pooling `yaml:",inline"`
}

// Make implements nn.Maker.
func (o MaxPooling2D) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	l, err := o.make("max_pooling2d", in)
	if err != nil {
		return nil, err
	}
	l.max = true
	return l, nil
}

// AveragePooling2D is the mean of each window, channel by channel.
type AveragePooling2D struct {
	Pooling `yaml:",inline"`
}

// Make implements nn.Maker.
func (o AveragePooling2D) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	l, err := o.make("average_pooling2d", in)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// GlobalAveragePooling2D is the mean of each channel.
type GlobalAveragePooling2D struct {
	Keepdims bool `yaml:"keepdims" doc:"give 1×1×channels instead of channels"`
}

// Make implements nn.Maker.
func (o GlobalAveragePooling2D) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) != 3 {
		return nil, errRank("global_average_pooling2d", "height×width×channels", in)
	}
	all := Pooling{PoolSize: nn.Pair{in[0], in[1]}, Padding: "valid"}
	l, err := all.make("global_average_pooling2d", in)
	if err != nil {
		return nil, err
	}
	if !o.Keepdims {
		l.out = tensor.Shape{in[2]}
	}
	return l, nil
}

type pooling struct {
	kind    string
	in, out tensor.Shape
	g       kernel.Pool
	max     bool
}

// Kind implements nn.Described.
func (l *pooling) Kind() string { return l.kind }

// FLOPs implements nn.Described: one for each number of a window.
func (l *pooling) FLOPs() int64 { return int64(l.out.Size()) * int64(l.g.KH*l.g.KW) }

// Out implements nn.Layer.
func (l *pooling) Out() tensor.Shape { return l.out }

// Params implements nn.Layer.
func (l *pooling) Params() []*nn.Param { return nil }

// Plan implements nn.Layer.
func (l *pooling) Plan(p *nn.Plan) {
	p.Tensor(l, l.in)
	p.Tensor(l, l.out)
	p.Int32s(l, l.out.Size())
}

// Forward implements nn.Layer.
func (l *pooling) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, 1, x.N())
	if l.max {
		w.K.MaxPool(y.Data, w.Int32s(l, 2, x.N()), x.Data, x.N(), l.g)
	} else {
		w.K.AvgPool(y.Data, x.Data, x.N(), l.g)
	}
	return y
}

// Graph implements nn.Graphed.
func (l *pooling) Graph(b *graph.Builder, x graph.Value) graph.Value {
	g := l.g
	attrs := []graph.Attr{
		graph.Is("kernel_shape", g.KH, g.KW), graph.Is("strides", g.SH, g.SW),
		graph.Is("pads", g.Top, g.Left, after(g.H, g.OH, g.KH, g.SH, g.Top), after(g.W, g.OW, g.KW, g.SW, g.Left)),
	}
	kind := "MaxPool"
	if !l.max { // whose padding does not count: the operator's default
		kind = "AveragePool"
	}
	return b.Batch(b.Images(b.Op(kind, []graph.Value{b.Planes(x)}, attrs...)), l.out...)
}

// Backward implements nn.Layer.
func (l *pooling) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	n := dy.N()
	dx := w.Tensor(l, 0, n)
	if l.max {
		w.K.MaxPoolGrad(dx.Data, dy.Data, w.Int32s(l, 2, n), n, l.g)
	} else {
		w.K.AvgPoolGrad(dx.Data, dy.Data, n, l.g)
	}
	return dx
}
