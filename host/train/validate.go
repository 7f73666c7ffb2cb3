package train

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// validate implements learner: inference mode, clean rows, the same noise in
// every epoch.
func (g *guard) validate(ctx context.Context, values []float64) error {
	clear(values)
	x := g.o.Validation
	size := g.valPass.Batch()
	for lo := 0; lo < x.N(); lo += size {
		hi := min(lo+size, x.N())
		n := hi - lo
		share := float64(n) / float64(x.N())
		g.examples = g.examples[:0]
		for i := lo; i < hi; i++ {
			g.examples = append(g.examples, uint64(i))
		}
		noise := g.valNoise(n)
		normal(g.k, noise, g.o.Seed, streamVal, 0, g.examples)
		s := Step{X: x.Rows(lo, hi)}
		var mu, logvar *tensor.Tensor
		seen := s.X
		if g.o.Smooth && g.o.InputNoise > 0 {
			seen = g.noisy(tensor.Batch(n, g.m.Input), s.X, streamSmooth, 0, g.examples)
		}
		s.Rebuilt, mu, logvar = g.valPass.Forward(seen, noise)
		s.UnitX, s.UnitRebuilt = s.X, g.valPass.Raw()
		if f := g.m.Normalize; f != nil {
			s.UnitX = tensor.Batch(n, g.m.Input)
			f.Apply(g.k, s.UnitX, s.X)
		}
		if g.classifier != nil {
			s.P = g.valP.Rows(lo, hi)
			for _, h := range g.valHidden {
				s.HiddenP = append(s.HiddenP, h.Rows(lo, hi))
			}
			if _, err := g.ask(ctx, &s, false); err != nil {
				return err
			}
		}
		if f := g.factors.validation; f != nil {
			s.Weights = make([]float64, n)
			for i := range n {
				s.Weights[i] = f[lo+i] / float64(n)
			}
		}
		if g.proof != nil {
			g.proof.judge.Clean(&s)
		}
		loss := g.obj.Loss(&s)
		if g.o.Beta > 0 && logvar != nil {
			loss += latentTerm(&s, mu, logvar, g.o.Beta, g.o.LatentReduction == "sum", nil, nil)
		}
		values[0] += share * loss
		if len(g.rows) < n {
			g.rows = make([]float64, n)
		}
		g.measure(&s, n, values[1:], share)
	}
	return nil
}

// valNoise is room for n rows of noise.
func (g *guard) valNoise(n int) *tensor.Tensor {
	if n*g.m.LatentDim > len(g.noise.data) {
		g.noise = newView(n, tensor.Shape{g.m.LatentDim})
	}
	return g.noise.of(n)
}

// latentTerm is beta times −½·mean(1 + logvar − μ² − exp logvar) over rows and
// the code's dimensions, or their sum; the gradients are written.
func latentTerm(s *Step, mu, logvar *tensor.Tensor, beta float64, sum bool, dMu, dLogVar *tensor.Tensor) float64 {
	d := mu.Stride()
	total := 0.0
	for i := range mu.N() {
		w := beta * s.Weight(i)
		if !sum {
			w /= float64(d)
		}
		for j := i * d; j < (i+1)*d; j++ {
			m, l := float64(mu.Data[j]), float64(logvar.Data[j])
			e := math.Exp(l)
			total -= w / 2 * (1 + l - m*m - e)
			if dMu != nil {
				dMu.Data[j] = float32(w * m)
				dLogVar.Data[j] = float32(-w / 2 * (1 - e))
			}
		}
	}
	return total
}
