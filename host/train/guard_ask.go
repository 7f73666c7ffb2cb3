package train

import (
	"context"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// recall fills in P for the rows of a batch, twice if they are attacked too.
func (g *guard) recall(b *batch) {
	if g.classifier == nil {
		return
	}
	s := &g.s
	rows, n := s.N(), len(b.rows)
	gather := func(v *view, from *tensor.Tensor) *tensor.Tensor {
		t := v.of(rows)
		for i := range rows {
			copy(t.Row(i), from.Row(b.rows[i%n]))
		}
		return t
	}
	s.P = gather(&g.pRows, g.p)
	for h := range g.hidden {
		s.HiddenP[h] = gather(&g.hiddenRows[h], g.hidden[h])
	}
	s.DQ = g.dQ.of(rows)
	clear(s.DQ.Data)
	for h := range g.dHidden {
		s.DHiddenQ[h] = g.dHidden[h].of(rows)
		clear(s.DHiddenQ[h].Data)
	}
}

// ask fills in Q.
func (g *guard) ask(ctx context.Context, s *Step) (a answer, err error) {
	if g.classifier == nil {
		return a, nil
	}
	if g.asks {
		a, err = g.classifier.forward(ctx, s.Rebuilt)
	} else {
		a, err = g.classifier.predict(ctx, s.Rebuilt)
	}
	s.Q, s.HiddenQ = a.Output, a.logits
	return a, err
}

// latent adds beta times the latent term to the loss and gives its gradients,
// nil without one.
func (g *guard) latent(s *Step, mu, logvar *tensor.Tensor, loss *float64) (dMu, dLogVar *tensor.Tensor) {
	if g.o.Beta == 0 || logvar == nil {
		return nil, nil
	}
	dMu, dLogVar = g.dMu.of(mu.N()), g.dLogVar.of(mu.N())
	*loss += latentTerm(s, mu, logvar, g.o.Beta, g.o.LatentReduction == "sum", dMu, dLogVar)
	return dMu, dLogVar
}

// measure adds share times the metrics' means over the first n rows.
func (g *guard) measure(s *Step, n int, values []float64, share float64) {
	if s.N() > n {
		s = g.front.first(s, n)
	}
	for i, m := range g.metrics {
		rows := g.rows[:n]
		m.Metric.Rows(rows, s, g.o.Setup)
		sum := 0.0
		for _, v := range rows {
			sum += v
		}
		values[i] += share * sum / float64(n)
	}
}

// front is the evidence of the first rows of a step.
type front struct {
	s   Step
	cut [6]rows
}

// first is that of the first n rows alone, for metrics. The next call takes its place.
func (f *front) first(s *Step, n int) *Step {
	f.s = Step{}
	for i, t := range []struct{ to, from **tensor.Tensor }{
		{&f.s.X, &s.X}, {&f.s.Rebuilt, &s.Rebuilt}, {&f.s.UnitX, &s.UnitX}, {&f.s.UnitRebuilt, &s.UnitRebuilt}, {&f.s.P, &s.P}, {&f.s.Q, &s.Q},
	} {
		if *t.from != nil {
			*t.to = f.cut[i].of(*t.from, 0, n)
		}
	}
	return &f.s
}
