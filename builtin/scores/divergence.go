package scores

import (
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/graph"
)

// KL is mean_s KL(P_T ‖ Q_s) in nats, plus Σ_j w_j · KL of the hidden heads
// where the detector has hidden layers.
type KL struct {
	Hidden bool `yaml:"hidden" doc:"add the hidden layers' weighted terms, if there are any"`
}

// ReverseKL is mean_s KL(Q_s ‖ P_T) in nats.
type ReverseKL struct{}

// SymmetricKL is the mean of KL and ReverseKL.
type SymmetricKL struct{}

// HiddenKL is mean_s Σ_j w_j · KL(H_j(x) ‖ H_j(x'_s)) of the heads alone.
type HiddenKL struct{}

var (
	_ detect.DifferentiableScore = (*KL)(nil)
	_ detect.DifferentiableScore = (*ReverseKL)(nil)
	_ detect.DifferentiableScore = (*SymmetricKL)(nil)
	_ detect.DifferentiableScore = (*HiddenKL)(nil)
)

// Score implements detect.Score.
func (k *KL) Score(dst []float64, e detect.Evidence) {
	divergence{forward: 1}.score(dst, e)
	if k.Hidden {
		addHidden(dst, e)
	}
}

// ScoreGrad implements detect.DifferentiableScore.
func (k *KL) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	divergence{forward: 1}.grad(c, e, weight)
	if k.Hidden {
		hiddenGrad(c, e, weight)
	}
}

// Needs implements detect.Requirer.
func (*KL) Needs() detect.Needs { return detect.Needs{Q: true} }

// Score implements detect.Score.
func (*ReverseKL) Score(dst []float64, e detect.Evidence) { divergence{reverse: 1}.score(dst, e) }

// ScoreGrad implements detect.DifferentiableScore.
func (*ReverseKL) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	divergence{reverse: 1}.grad(c, e, weight)
}

// Needs implements detect.Requirer.
func (*ReverseKL) Needs() detect.Needs { return detect.Needs{Q: true} }

// Score implements detect.Score.
func (*SymmetricKL) Score(dst []float64, e detect.Evidence) {
	divergence{forward: 0.5, reverse: 0.5}.score(dst, e)
}

// ScoreGrad implements detect.DifferentiableScore.
func (*SymmetricKL) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	divergence{forward: 0.5, reverse: 0.5}.grad(c, e, weight)
}

// Needs implements detect.Requirer.
func (*SymmetricKL) Needs() detect.Needs { return detect.Needs{Q: true} }

// Score implements detect.Score.
func (*HiddenKL) Score(dst []float64, e detect.Evidence) {
	clear(dst)
	addHidden(dst, e)
}

// ScoreGrad implements detect.DifferentiableScore.
func (*HiddenKL) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	hiddenGrad(c, e, weight)
}

// Needs implements detect.Requirer.
func (*HiddenKL) Needs() detect.Needs { return detect.Needs{Q: true, Hidden: true} }

// divergence is forward·KL(P_T‖Q) + reverse·KL(Q‖P_T).
type divergence struct{ forward, reverse float64 }

func (d divergence) score(dst []float64, e detect.Evidence) {
	clipped := e.Clip > 0
	for i := range dst {
		p, sum := e.LogPT.Row(i), 0.0
		for s := range e.Samples {
			q := e.LogQ.Row(i*e.Samples + s)
			if d.forward != 0 {
				sum += d.forward * kl(p, q, clipped)
			}
			if d.reverse != 0 {
				sum += d.reverse * kl(q, p, clipped)
			}
		}
		dst[i] = sum / float64(e.Samples)
	}
}

func (d divergence) grad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	clipped := e.Clip > 0
	for i, w := range weight {
		p, dp := e.LogPT.Row(i), c.LogPT.Row(i)
		w /= float64(e.Samples)
		for s := range e.Samples {
			k := i*e.Samples + s
			q, dq := e.LogQ.Row(k), c.LogQ.Row(k)
			if d.forward != 0 {
				klGrad(dp, dq, p, q, w*d.forward, clipped)
			}
			if d.reverse != 0 {
				klGrad(dq, dp, q, p, w*d.reverse, clipped)
			}
		}
	}
}

// addHidden adds the hidden layers' terms to dst.
func addHidden(dst []float64, e detect.Evidence) {
	for j, p := range e.HiddenP {
		for i := range dst {
			sum := 0.0
			for s := range e.Samples {
				sum += kl(p.Row(i), e.HiddenQ[j].Row(i*e.Samples+s), e.Clip > 0)
			}
			dst[i] += e.HiddenWeights[j] * sum / float64(e.Samples)
		}
	}
}

func hiddenGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	for j, p := range e.HiddenP {
		for i, w := range weight {
			w *= e.HiddenWeights[j] / float64(e.Samples)
			for s := range e.Samples {
				k := i*e.Samples + s
				klGrad(c.HiddenP[j].Row(i), c.HiddenQ[j].Row(k), p.Row(i), e.HiddenQ[j].Row(k), w, e.Clip > 0)
			}
		}
	}
}

// Graph implements detect.GraphedScore.
func (k *KL) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	v := divergence{forward: 1}.graph(b, e)
	if k.Hidden && len(e.HiddenP) > 0 {
		v = b.Add(v, hiddenGraph(b, e))
	}
	return v
}

// Graph implements detect.GraphedScore.
func (*ReverseKL) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	return divergence{reverse: 1}.graph(b, e)
}

// Graph implements detect.GraphedScore.
func (*SymmetricKL) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	return divergence{forward: 0.5, reverse: 0.5}.graph(b, e)
}

// Graph implements detect.GraphedScore.
func (*HiddenKL) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	return hiddenGraph(b, e)
}

// graph is the weighted sum of both directions.
func (d divergence) graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	sum := b.Number(graph.Double, 0)
	for _, one := range []struct {
		weight float64
		p, q   graph.Value
	}{{d.forward, e.LogPT, e.LogQ}, {d.reverse, e.LogQ, e.LogPT}} {
		if one.weight != 0 {
			sum = b.Add(sum, b.Mul(e.Samplewise(b, klGraph(b, one.p, one.q, e.Clip > 0)), b.Number(graph.Double, one.weight)))
		}
	}
	return sum
}

func hiddenGraph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	sum := b.Number(graph.Double, 0)
	for j, p := range e.HiddenP {
		term := e.Samplewise(b, klGraph(b, p, e.HiddenQ[j], e.Clip > 0))
		sum = b.Add(sum, b.Mul(term, b.Number(graph.Double, e.HiddenWeights[j])))
	}
	return sum
}

// klGraph is kl of logarithms (n, s or 1, classes), (n, s).
func klGraph(b *graph.Builder, p, q graph.Value, clipped bool) graph.Value {
	exp := b.Exp(p)
	term := b.Mul(exp, b.Sub(p, q))
	if !clipped { // so that rounding of the two sums does not show
		term = b.Add(term, b.Sub(b.Exp(q), exp))
	}
	return b.Sum(term, 2)
}
