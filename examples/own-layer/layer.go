package main

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// SoftThreshold is y = sign(x)·max(|x| − Lambda, 0), the shrinkage of sparse
// coding (Donoho 1995). The exported fields are the layer's keys in YAML.
type SoftThreshold struct {
	Lambda float64 `yaml:"lambda" doc:"how far numbers move towards zero" check:">= 0"`
}

// Make implements nn.Maker: the options meet a shape.
func (s SoftThreshold) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	return &softThreshold{shape: in.Clone(), lambda: float32(s.Lambda)}, nil
}

// softThreshold never changes once it is made: what a pass leaves behind lies
// in the workspace.
type softThreshold struct {
	shape  tensor.Shape
	lambda float32
}

// Out implements nn.Layer.
func (l *softThreshold) Out() tensor.Shape { return l.shape }

// Params implements nn.Layer: nothing to train.
func (l *softThreshold) Params() []*nn.Param { return nil }

// Plan implements nn.Layer: one buffer, number 0, for the result.
func (l *softThreshold) Plan(p *nn.Plan) { p.Tensor(l, l.shape) }

// Forward implements nn.Layer.
func (l *softThreshold) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, 0, x.N())
	for i, v := range x.Data {
		switch {
		case v > l.lambda:
			y.Data[i] = v - l.lambda
		case v < -l.lambda:
			y.Data[i] = v + l.lambda
		default:
			y.Data[i] = 0
		}
	}
	return y
}

// Backward implements nn.Layer: dx = dy where y ≠ 0, else 0. dy may be
// overwritten, so it becomes dx.
func (l *softThreshold) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	for i, v := range w.Tensor(l, 0, dy.N()).Data {
		if v == 0 {
			dy.Data[i] = 0
		}
	}
	return dy
}
