package layers

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Dropout sets numbers to zero with probability Rate and scales the others by
// 1/(1 − Rate), in training; otherwise it does nothing (Srivastava et al.
// 2014).
type Dropout struct {
	Rate float64 `yaml:"rate" doc:"fraction of numbers that become zero" check:">= 0, < 1" required:"true"`
}

// Make implements nn.Maker.
func (d Dropout) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	return &dropout{shape: in.Clone(), rate: float32(d.Rate)}, nil
}

type dropout struct {
	shape tensor.Shape
	rate  float32
}

// Kind implements nn.Described.
func (l *dropout) Kind() string { return "dropout" }

// FLOPs implements nn.Described: none outside training.
func (l *dropout) FLOPs() int64 { return 0 }

// NoHiddenOutput implements nn.NoHiddenOutput: outside training the layer does
// nothing.
func (l *dropout) NoHiddenOutput() bool { return true }

// Out implements nn.Layer.
func (l *dropout) Out() tensor.Shape { return l.shape }

// Params implements nn.Layer.
func (l *dropout) Params() []*nn.Param { return nil }

// Plan implements nn.Layer.
func (l *dropout) Plan(p *nn.Plan) {
	p.Tensor(l, l.shape)
	p.Tensor(l, l.shape)
}

// Forward implements nn.Layer.
func (l *dropout) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	if w.Mode != nn.Training || l.rate == 0 {
		return x
	}
	mask, y := w.Tensor(l, 0, x.N()), w.Tensor(l, 1, x.N())
	w.Noise(l, mask.Data, x.N(), false)
	scale := 1 / (1 - l.rate)
	for i, u := range mask.Data {
		mask.Data[i] = 0
		if u >= l.rate {
			mask.Data[i] = scale
		}
	}
	w.K.Mul(y.Data, x.Data, mask.Data)
	return y
}

// Backward implements nn.Layer.
func (l *dropout) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	if w.Mode == nn.Training && l.rate != 0 {
		w.K.Mul(dy.Data, dy.Data, w.Tensor(l, 0, dy.N()).Data)
	}
	return dy
}

// Graph implements nn.Graphed.
func (l *dropout) Graph(_ *graph.Builder, x graph.Value) graph.Value { return x }

// GaussianNoise adds numbers of N(0, Stddev²), in training.
type GaussianNoise struct {
	Stddev float64 `yaml:"stddev" doc:"standard deviation of the noise" check:">= 0" required:"true"`
}

// Make implements nn.Maker.
func (g GaussianNoise) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	return &gaussianNoise{shape: in.Clone(), stddev: float32(g.Stddev)}, nil
}

type gaussianNoise struct {
	shape  tensor.Shape
	stddev float32
}

// Kind implements nn.Described.
func (l *gaussianNoise) Kind() string { return "gaussian_noise" }

// FLOPs implements nn.Described: none outside training.
func (l *gaussianNoise) FLOPs() int64 { return 0 }

// NoHiddenOutput implements nn.NoHiddenOutput: outside training the layer does
// nothing.
func (l *gaussianNoise) NoHiddenOutput() bool { return true }

// Out implements nn.Layer.
func (l *gaussianNoise) Out() tensor.Shape { return l.shape }

// Params implements nn.Layer.
func (l *gaussianNoise) Params() []*nn.Param { return nil }

// Plan implements nn.Layer.
func (l *gaussianNoise) Plan(p *nn.Plan) { p.Tensor(l, l.shape) }

// Forward implements nn.Layer.
func (l *gaussianNoise) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	if w.Mode != nn.Training || l.stddev == 0 {
		return x
	}
	y := w.Tensor(l, 0, x.N())
	w.Noise(l, y.Data, x.N(), true)
	w.K.Scale(y.Data, y.Data, l.stddev, 0)
	w.K.Add(y.Data, x.Data)
	return y
}

// Backward implements nn.Layer.
func (l *gaussianNoise) Backward(_ *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	return dy
}

// Graph implements nn.Graphed.
func (l *gaussianNoise) Graph(_ *graph.Builder, x graph.Value) graph.Value { return x }
