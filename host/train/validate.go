package train

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// validate implements learner: inference mode, clean rows, the same noise in
// every epoch. While the classifier answers for some rows the host passes the next ones
// forward; the calls are the same as in turns.
func (g *guard) validate(ctx context.Context, values []float64) error {
	clear(values)
	size := g.valPass.Batch()
	if g.valChunks[0] == nil {
		for i := range g.valChunks {
			g.valChunks[i] = newChunk(g, size)
		}
	}
	next, n := g.valChunks[0], g.o.Validation.N()
	next.prepare(0, min(size, n))
	for lo := 0; lo < n; lo += size {
		c := next
		if g.classifier != nil {
			c.aside.Ask(ctx, c)
		}
		if hi := c.hi; hi < n {
			next = g.valChunks[(hi/size)%2]
			next.prepare(hi, min(hi+size, n))
		}
		if g.classifier != nil {
			if err := c.aside.Wait(); err != nil {
				return err
			}
			a := g.classifier.read(c.answer)
			c.s.Q, c.s.HiddenQ = a.Output, a.logits
		}
		c.count(values)
	}
	return nil
}

// chunk is some validation rows on their way.
type chunk struct {
	g              *guard
	lo, hi         int
	s              Step
	mu, logvar     *tensor.Tensor
	shaken, unit   view
	rebuilt, raw   view // copies: the pass goes on
	mean, variance view
	answer         oracle.Answer
	room           oracle.Room
	aside          oracle.Aside
}

// newChunk plans for up to size rows.
func newChunk(g *guard, size int) *chunk {
	_, alone := g.o.Classifier.(Companion)
	c := &chunk{g: g, aside: oracle.NewAside(g.o.InTurns || alone), rebuilt: newView(size, g.m.Input)}
	if g.o.Smooth && g.o.InputNoise > 0 {
		c.shaken = newView(size, g.m.Input)
	}
	if g.m.Normalize != nil {
		c.unit, c.raw = newView(size, g.m.Input), newView(size, g.m.Input)
	}
	if g.o.Beta > 0 {
		c.mean, c.variance = newView(size, tensor.Shape{g.m.LatentDim}), newView(size, tensor.Shape{g.m.LatentDim})
	}
	return c
}

// prepare is the host's work before the classifier's.
func (c *chunk) prepare(lo, hi int) {
	g, n := c.g, hi-lo
	c.lo, c.hi = lo, hi
	g.examples = g.examples[:0]
	for i := lo; i < hi; i++ {
		g.examples = append(g.examples, uint64(i))
	}
	noise := g.valNoise(n)
	normal(g.k, noise, g.o.Seed, streamVal, 0, g.examples)
	c.s = Step{X: g.o.Validation.Rows(lo, hi)}
	s, seen := &c.s, c.s.X
	if c.shaken.data != nil {
		seen = g.noisy(c.shaken.of(n), s.X, streamSmooth, 0, g.examples)
	}
	rebuilt, mu, logvar := g.valPass.Forward(seen, noise)
	s.Rebuilt = c.rebuilt.of(n)
	copy(s.Rebuilt.Data, rebuilt.Data)
	s.UnitX, s.UnitRebuilt = s.X, s.Rebuilt
	if f := g.m.Normalize; f != nil {
		s.UnitX, s.UnitRebuilt = c.unit.of(n), c.raw.of(n)
		f.Apply(g.k, s.UnitX, s.X)
		copy(s.UnitRebuilt.Data, g.valPass.Raw().Data)
	}
	if c.mu, c.logvar = nil, nil; g.o.Beta > 0 && logvar != nil {
		c.mu, c.logvar = c.mean.of(n), c.variance.of(n)
		copy(c.mu.Data, mu.Data)
		copy(c.logvar.Data, logvar.Data)
	}
	if g.classifier != nil {
		s.P = g.valP.Rows(lo, hi)
		for _, h := range g.valHidden {
			s.HiddenP = append(s.HiddenP, h.Rows(lo, hi))
		}
	}
	if f := g.factors.validation; f != nil {
		s.Weights = make([]float64, n)
		for i := range n {
			s.Weights[i] = f[lo+i] / float64(n)
		}
	}
}

// Inquire implements oracle.Question.
func (c *chunk) Inquire(ctx context.Context) (err error) {
	c.answer, err = c.g.classifier.Predict(ctx, c.s.Rebuilt, &c.room)
	return err
}

// count adds the rows' share of loss and metrics.
func (c *chunk) count(values []float64) {
	g, n := c.g, c.hi-c.lo
	share := float64(n) / float64(g.o.Validation.N())
	if g.proof != nil && g.proof.asked && g.proof.judge != nil {
		g.proof.judge.Clean(&c.s)
	}
	loss := g.obj.Loss(&c.s)
	if c.logvar != nil {
		loss += latentTerm(&c.s, c.mu, c.logvar, g.o.Beta, g.o.LatentReduction == "sum", nil, nil)
	}
	values[0] += share * loss
	if len(g.rows) < n {
		g.rows = make([]float64, n)
	}
	g.measure(&c.s, n, values[1:], share)
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
