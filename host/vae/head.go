package vae

import (
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Head is a dense layer on a flattened input, y = act(x·kernel + bias), of
// which several may share one input.
type Head struct {
	Kernel, Bias *nn.Param // (in, out), (out)
	act          kernel.Act
}

// newHead draws the kernel as Keras does: Glorot uniform, bias zero.
func newHead(name string, in, out int, act kernel.Act, r *rand.Rand) *Head {
	h := &Head{
		Kernel: &nn.Param{Name: name + ".kernel", Value: tensor.New(in, out)},
		Bias:   &nn.Param{Name: name + ".bias", Value: tensor.New(out)},
		act:    act,
	}
	limit := math.Sqrt(6 / float64(in+out))
	for i := range h.Kernel.Value.Data {
		h.Kernel.Value.Data[i] = float32((2*r.Float64() - 1) * limit)
	}
	return h
}

// Params are kernel and bias.
func (h *Head) Params() []*nn.Param { return []*nn.Param{h.Kernel, h.Bias} }

func (h *Head) in() int  { return h.Kernel.Value.Shape[0] }
func (h *Head) out() int { return h.Kernel.Value.Shape[1] }

// weights views the kernel as a matrix.
func (h *Head) weights() kernel.Matrix {
	return kernel.Dense(h.Kernel.Value.Data, h.in(), h.out())
}

// forward computes y (n, out) from x (n, in).
func (h *Head) forward(k *kernel.Engine, y, x []float32, n int) {
	k.Gemm(y, h.out(), kernel.Dense(x, n, h.in()), h.weights(), kernel.Epilogue{Bias: h.Bias.Value.Data, Act: h.act})
}

// backward computes dx from dy, which it overwrites with the gradient before
// the activation, or adds to dx; params' gradients are added up in g unless
// that is nil. x and y are forward's. scratch has the kernel's size.
func (h *Head) backward(k *kernel.Engine, dx, dy, x, y, scratch []float32, n int, add bool, g *nn.Grads) {
	if h.act.Kind != kernel.Linear {
		k.ActivateGrad(dy, dy, nil, y, h.act)
	}
	d := kernel.Dense(dy, n, h.out())
	if g != nil {
		dw, fresh := g.Take(h.Kernel)
		k.Gemm(dw.Data, h.out(), kernel.Dense(x, n, h.in()).T(), d, kernel.Epilogue{Accumulate: !fresh})
		db := scratch[:h.out()]
		k.ColSum(db, dy)
		k.Add(g.Of(h.Bias).Data, db)
	}
	k.Gemm(dx, h.in(), d, h.weights().T(), kernel.Epilogue{Accumulate: add})
}
