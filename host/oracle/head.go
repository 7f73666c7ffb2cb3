package oracle

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Head is a softmax head, without bias, on a hidden layer of the classifier.
// In its methods hidden is the layer's answer, (n, layer…), of which a row has
// as many numbers as the kernel has rows.
type Head struct {
	Name   string         // of the layer, as the classifier's Info has it
	Weight float64        // factor of its term in losses and scores
	Kernel *tensor.Tensor // (features, units)
}

// DrawHead draws the kernel (features, units) of a random head on the hidden
// layer of the given name: Glorot's uniform, ±√(6/(features+units)). Same seed
// and name, same bits.
func DrawHead(seed uint64, name string, features, units int) *tensor.Tensor {
	h := fnv.New64a()
	_, _ = h.Write([]byte("head/" + name))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	limit := math.Sqrt(6 / float64(features+units))
	t := tensor.New(features, units)
	for i := range t.Data {
		t.Data[i] = float32(limit * (2*r.Float64() - 1))
	}
	return t
}

// Forward writes the head's logits hidden·Kernel, (n, units).
func (h Head) Forward(e *kernel.Engine, dst, hidden *tensor.Tensor) {
	n := hidden.N()
	e.Gemm(dst.Data, h.Kernel.Stride(), kernel.Dense(hidden.Data, n, h.Kernel.N()), h.matrix(), kernel.Epilogue{})
}

// Backward writes the gradient at the hidden layer, dy·Kernelᵀ, (n, layer…),
// from the one at the logits.
func (h Head) Backward(e *kernel.Engine, dst, dy *tensor.Tensor) {
	n := dy.N()
	e.Gemm(dst.Data, h.Kernel.N(), kernel.Dense(dy.Data, n, h.Kernel.Stride()), h.matrix().T(), kernel.Epilogue{})
}

// KernelGradient writes the gradient at the kernel, hiddenᵀ·dy, from the one
// at the logits.
func (h Head) KernelGradient(e *kernel.Engine, dst []float32, hidden, dy *tensor.Tensor) {
	n, units := dy.N(), h.Kernel.Stride()
	e.Gemm(dst, units, kernel.Dense(hidden.Data, n, h.Kernel.N()).T(), kernel.Dense(dy.Data, n, units), kernel.Epilogue{})
}

func (h Head) matrix() kernel.Matrix {
	return kernel.Dense(h.Kernel.Data, h.Kernel.N(), h.Kernel.Stride())
}

// LogP is the head's log-softmax, (n, units), with the reading's clip.
func (h Head) LogP(e *kernel.Engine, hidden *tensor.Tensor, r Reading) *tensor.Tensor {
	out := tensor.New(hidden.N(), h.Kernel.Stride())
	h.Forward(e, out, hidden)
	r = r.Logits()
	row := make([]float64, out.Stride())
	for i := range out.N() {
		r.LogP(row, out.Row(i))
		r.Store(out.Row(i), row)
	}
	return out
}

// PullLogP is the gradient at hidden, of its shape, from dlogp at LogP's
// result.
func (h Head) PullLogP(e *kernel.Engine, hidden, dlogp *tensor.Tensor, r Reading) *tensor.Tensor {
	n, units := hidden.N(), h.Kernel.Stride()
	z, dz := tensor.New(n, units), tensor.New(n, units)
	h.Forward(e, z, hidden)
	r = r.Logits()
	for i := range n {
		r.Pull(dz.Row(i), z.Row(i), dlogp.Row(i), nil)
	}
	dh := tensor.New(hidden.Shape...)
	h.Backward(e, dh, dz)
	return dh
}

// check compares a head with the layer that the classifier declares.
func (h Head) check(info sdk.Info) error {
	names := make([]string, len(info.Hidden))
	for i, l := range info.Hidden {
		names[i] = l.Name
		if l.Name != h.Name {
			continue
		}
		if n := l.Shape.Size(); h.Kernel == nil || len(h.Kernel.Shape) != 2 || h.Kernel.N() != n {
			return fmt.Errorf("hidden layer %s: want a head of %d rows", h.Name, n)
		}
		return nil
	}
	if len(names) == 0 {
		return fmt.Errorf("the classifier has no hidden layer %q: it offers none", h.Name)
	}
	return fmt.Errorf("the classifier has no hidden layer %q; it has %q", h.Name, names)
}
