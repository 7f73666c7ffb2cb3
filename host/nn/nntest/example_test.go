package nntest_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/nn/nntest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Square is y = x².
type Square struct{}

func (Square) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) { return &square{in.Clone()}, nil }

type square struct{ shape tensor.Shape }

func (l *square) Out() tensor.Shape   { return l.shape }
func (l *square) Params() []*nn.Param { return nil }
func (l *square) Plan(p *nn.Plan)     { p.Tensor(l, l.shape); p.Tensor(l, l.shape) }

func (l *square) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	w.Keep(l, 0, x)
	y := w.Tensor(l, 1, x.N())
	w.K.Mul(y.Data, x.Data, x.Data)
	return y
}

// Backward: dx = 2·x·dy, in dy's memory.
func (l *square) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	for i, x := range w.Kept(l, 0).Data {
		dy.Data[i] *= 2 * x
	}
	return dy
}

// The whole test of a layer: its gradients are compared with differences of its
// results.
func ExampleRun() {
	var t *testing.T // what go test hands to TestConformance
	nntest.Run(t, Square{}, tensor.Shape{5})
	nntest.Run(t, Square{}, tensor.Shape{4, 4, 3})
}
