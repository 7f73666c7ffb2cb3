package scores

import (
	"math"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
)

// CETop is −mean_s ln Q_s[argmax P].
type CETop struct{}

// CrossEntropy is −mean_s Σ_c P_T[c]·ln Q_s[c].
type CrossEntropy struct{}

// Margin is mean_s (max_{c ≠ t} z_s[c] − z_s[t]) with t = argmax P and z_s
// the logits on the reconstruction: negative where the reconstruction keeps
// the class.
type Margin struct{}

// MaxSoftmax is 1 − max P (Hendrycks and Gimpel 2017, arXiv:1610.02136).
type MaxSoftmax struct{}

var (
	_ detect.DifferentiableScore = (*CETop)(nil)
	_ detect.DifferentiableScore = (*CrossEntropy)(nil)
	_ detect.DifferentiableScore = (*Margin)(nil)
	_ detect.DifferentiableScore = (*MaxSoftmax)(nil)
)

// Needs implements detect.Requirer.
func (*CETop) Needs() detect.Needs { return detect.Needs{Q: true} }

// Score implements detect.Score.
func (*CETop) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		top, sum := oracle.Argmax(e.LogP.Row(i)), 0.0
		for s := range e.Samples {
			sum -= float64(e.LogQ.Row(i*e.Samples + s)[top])
		}
		dst[i] = sum / float64(e.Samples)
	}
}

// ScoreGrad implements detect.DifferentiableScore.
func (*CETop) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	for i, w := range weight {
		top := oracle.Argmax(e.LogP.Row(i))
		for s := range e.Samples {
			c.LogQ.Row(i*e.Samples + s)[top] -= float32(w / float64(e.Samples))
		}
	}
}

// Needs implements detect.Requirer.
func (*CrossEntropy) Needs() detect.Needs { return detect.Needs{Q: true} }

// Score implements detect.Score.
func (*CrossEntropy) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		p, sum := e.LogPT.Row(i), 0.0
		for s := range e.Samples {
			q := e.LogQ.Row(i*e.Samples + s)
			for c := range p {
				sum -= math.Exp(float64(p[c])) * float64(q[c])
			}
		}
		dst[i] = sum / float64(e.Samples)
	}
}

// ScoreGrad implements detect.DifferentiableScore.
func (*CrossEntropy) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	for i, w := range weight {
		w /= float64(e.Samples)
		p, dp := e.LogPT.Row(i), c.LogPT.Row(i)
		for s := range e.Samples {
			k := i*e.Samples + s
			q, dq := e.LogQ.Row(k), c.LogQ.Row(k)
			for c := range p {
				ep := math.Exp(float64(p[c]))
				dq[c] -= float32(w * ep)
				dp[c] -= float32(w * ep * float64(q[c]))
			}
		}
	}
}

// Needs implements detect.Requirer.
func (*Margin) Needs() detect.Needs { return detect.Needs{Q: true} }

// Score implements detect.Score.
func (*Margin) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		top, sum := oracle.Argmax(e.LogP.Row(i)), 0.0
		for s := range e.Samples {
			z := e.ZQ.Row(i*e.Samples + s)
			sum += float64(z[oracle.ArgmaxBut(z, top)]) - float64(z[top])
		}
		dst[i] = sum / float64(e.Samples)
	}
}

// ScoreGrad implements detect.DifferentiableScore.
func (*Margin) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	for i, w := range weight {
		top, step := oracle.Argmax(e.LogP.Row(i)), float32(w/float64(e.Samples))
		for s := range e.Samples {
			k := i*e.Samples + s
			dq := c.LogQ.Row(k)
			dq[oracle.ArgmaxBut(e.ZQ.Row(k), top)] += step
			dq[top] -= step
		}
	}
}

// Needs implements detect.Requirer: P alone.
func (*MaxSoftmax) Needs() detect.Needs { return detect.Needs{} }

// Score implements detect.Score.
func (*MaxSoftmax) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		p := e.LogP.Row(i)
		dst[i] = -math.Expm1(float64(p[oracle.Argmax(p)]))
	}
}

// ScoreGrad implements detect.DifferentiableScore.
func (*MaxSoftmax) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	for i, w := range weight {
		p := e.LogP.Row(i)
		top := oracle.Argmax(p)
		c.LogP.Row(i)[top] -= float32(w * math.Exp(float64(p[top])))
	}
}

// Graph implements detect.GraphedScore.
func (*CETop) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	return b.Neg(e.Samplewise(b, atPredicted(b, e, e.LogQ)))
}

// atPredicted is what v, (n, s, classes), has for the class predicted on the input,
// (n, s).
func atPredicted(b *graph.Builder, e detect.GraphedEvidence, v graph.Value) graph.Value {
	return b.Sum(b.Where(isPredicted(b, e), v, b.Number(graph.Double, 0)), 2)
}

// isPredicted marks the class predicted on the input, (n, 1, classes).
func isPredicted(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	classes := make([]int, e.Classes)
	for c := range classes {
		classes[c] = c
	}
	top := b.Unsqueeze(b.Unsqueeze(e.Predicted(b), 1), 2)
	return b.Op("Equal", []graph.Value{top, b.Reshape(b.Ints(classes...), 1, 1, e.Classes)})
}

// Graph implements detect.GraphedScore.
func (*CrossEntropy) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	return b.Neg(e.Samplewise(b, b.Sum(b.Mul(b.Exp(e.LogPT), e.LogQ), 2)))
}

// Graph implements detect.GraphedScore.
func (*Margin) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	others := b.Where(isPredicted(b, e), b.Number(graph.Double, math.Inf(-1)), e.ZQ)
	best := b.Pick(others, b.ArgMax(others, 2))
	return e.Samplewise(b, b.Sub(best, atPredicted(b, e, e.ZQ)))
}

// Graph implements detect.GraphedScore.
func (*MaxSoftmax) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	p := b.Reshape(e.LogP, -1, e.Classes)
	return b.Sub(b.Number(graph.Double, 1), b.Exp(b.Pick(p, b.ArgMax(p, 1))))
}
