package layers

import (
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Kernel are the options of every layer with a kernel.
type Kernel struct {
	Activation        nn.Activation  `yaml:"activation" doc:"function of the result"`
	UseBias           bool           `yaml:"use_bias" doc:"add a trained bias"`
	KernelInitializer nn.Initializer `yaml:"kernel_initializer" doc:"how the kernel starts"`
	BiasInitializer   nn.Initializer `yaml:"bias_initializer" doc:"how the bias starts"`
	KernelL1          float64        `yaml:"kernel_l1" doc:"adds this times Σ|w| to the loss" check:">= 0"`
	KernelL2          float64        `yaml:"kernel_l2" doc:"adds this times Σw² to the loss" check:">= 0"`
}

func newKernel() Kernel {
	return Kernel{
		Activation:        nn.Activation{Name: "linear"},
		UseBias:           true,
		KernelInitializer: "glorot_uniform",
		BiasInitializer:   "zeros",
	}
}

// Dense is a matrix product over the last dimension: y = act(x·kernel + bias),
// kernel (in, units).
type Dense struct {
	Units  int `yaml:"units" doc:"width of the result" check:">= 1" required:"true"`
	Kernel `yaml:",inline"`
}

// NewDense is a dense layer of the given width with the defaults.
func NewDense(units int) Dense { return Dense{Units: units, Kernel: newKernel()} }

// Make implements nn.Maker.
func (d Dense) Make(in tensor.Shape, r *rand.Rand) (nn.Layer, error) {
	if len(in) == 0 {
		return nil, errRank("dense", "at least one dimension", in)
	}
	last := len(in) - 1
	l := &dense{in: in[last], lead: in[:last].Size()}
	var err error
	if l.linear, err = d.linear(r, append(in[:last].Clone(), d.Units), in[last], d.Units); err != nil {
		return nil, err
	}
	return l, nil
}

type dense struct {
	linear
	in, lead int
}

// Kind implements nn.Described.
func (l *dense) Kind() string { return "dense" }

// FLOPs implements nn.Described.
func (l *dense) FLOPs() int64 { return int64(l.lead) * l.perRow(2*int64(l.in)) }

// Product implements nn.Multiplied.
func (l *dense) Product() (rows, in, out int, transposed bool) { return l.lead, l.in, l.width, false }

// Toward implements nn.Adjustable.
func (l *dense) Toward(out tensor.Shape) []nn.Adjustment {
	if len(out) != len(l.out) {
		return nil
	}
	a := nn.Adjustment{In: append(out[:len(out)-1].Clone(), l.in)}
	if units := out[len(out)-1]; units != l.width {
		a.Options = []string{fmt.Sprintf("units: %d", units)}
	}
	return []nn.Adjustment{a}
}

// Plan implements nn.Layer.
func (l *dense) Plan(p *nn.Plan) {
	l.plan(p, l, append(l.out[:len(l.out)-1].Clone(), l.in))
}

// Forward implements nn.Layer.
func (l *dense) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y, ep := l.begin(w, l, x)
	rows := x.N() * l.lead
	w.K.Gemm(y.Data, l.width, kernel.Dense(x.Data, rows, l.in), kernel.Dense(l.kernel.Value.Data, l.in, l.width), ep)
	l.activation.Finish(w.K, y)
	return y
}

// Graph implements nn.Graphed.
func (l *dense) Graph(b *graph.Builder, x graph.Value) graph.Value {
	return l.finish(b, b.MatMul(x, b.Floats(l.kernel.Value.Data, l.in, l.width)))
}

// Backward implements nn.Layer.
func (l *dense) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	x := w.Kept(l, bufIn)
	rows := x.N() * l.lead
	l.gradPre(w, l, dy)
	d := kernel.Dense(dy.Data, rows, l.width)
	if g != nil {
		dk, fresh := g.Take(l.kernel)
		w.K.Gemm(dk.Data, l.width, kernel.Dense(x.Data, rows, l.in).T(), d, kernel.Epilogue{Accumulate: !fresh})
		l.gradBias(w, l, dy, g)
	}
	if w.ParamsOnly {
		return nil
	}
	dx := w.Tensor(l, bufIn, x.N())
	w.K.Gemm(dx.Data, l.in, d, kernel.Dense(l.kernel.Value.Data, l.in, l.width).T(), kernel.Epilogue{})
	return dx
}
