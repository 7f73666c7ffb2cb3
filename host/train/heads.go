package train

import (
	"context"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// headEpochs are the passes over the training rows that FitHeads makes.
const headEpochs = 3

// FitHeads trains heads to predict the classifier's own prediction P from its
// hidden layers, by softmax regression on soft labels (Adam, 1e-3). The
// kernels are trained in place and must have as many columns as there are
// classes. It asks the classifier for the hidden layers of every row three
// times and keeps none of them.
func FitHeads(ctx context.Context, k *kernel.Engine, c sdk.Classifier, x dataset.Examples, heads []oracle.Head, seed uint64) error {
	const size = 128
	cl, err := newClassifier(ctx, c, k, heads, size)
	if err != nil {
		return err
	}
	f := headFitter{k: k, cl: cl}
	for _, h := range heads {
		if h.Kernel.Stride() != cl.Info().NumClasses {
			return fmt.Errorf("a trained head has as many units as there are classes, %d; %q has %d", cl.Info().NumClasses, h.Name, h.Kernel.Stride())
		}
		n := len(h.Kernel.Data)
		f.grad, f.m, f.v = append(f.grad, make([]float32, n)), append(f.m, make([]float32, n)), append(f.v, make([]float32, n))
	}
	room := newView(min(size, x.N()), x.Example())
	for epoch := range headEpochs {
		perm := order(seed, streamHead, epoch, x.N())
		for lo := 0; lo < len(perm); lo += size {
			if err := ctx.Err(); err != nil {
				return err
			}
			rows := perm[lo:min(lo+size, len(perm))]
			batch := room.of(len(rows))
			if err := x.Gather(batch, rows); err != nil {
				return fmt.Errorf("data.train: %w", err)
			}
			if err := f.step(ctx, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

type headFitter struct {
	k          *kernel.Engine
	cl         *classifier
	grad, m, v [][]float32
	steps      int
}

// step is one step of all heads.
func (f *headFitter) step(ctx context.Context, x *tensor.Tensor) error {
	a, err := f.cl.predict(ctx, x)
	if err != nil {
		return err
	}
	f.steps++
	n, t := x.N(), float64(f.steps)
	lp := make([]float64, a.Output.Stride())
	lq := make([]float64, a.Output.Stride())
	adam := kernel.AdamStep{Beta1: 0.9, Beta2: 0.999, Eps: 1e-7,
		Rate: float32(1e-3 * math.Sqrt(1-math.Pow(0.999, t)) / (1 - math.Pow(0.9, t)))}
	for i, h := range f.cl.Heads() {
		d := a.logits[i]
		for r := range n {
			oracle.LogProbabilities(lp, a.Output.Row(r), f.cl.Info().Output, 1)
			oracle.LogProbabilities(lq, d.Row(r), sdk.Logits, 1)
			for j := range lp {
				d.Row(r)[j] = float32((math.Exp(lq[j]) - math.Exp(lp[j])) / float64(n))
			}
		}
		h.KernelGradient(f.k, f.grad[i], a.Hidden[i], d)
		f.k.Adam(h.Kernel.Data, f.grad[i], f.m[i], f.v[i], adam)
	}
	return nil
}
