package scores

import (
	"math"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/detect"
)

// PredictionL1 is Σ_c |P[c] − Q_s[c]|, in [0, 2]; over samples the mean, or
// the largest as in feature squeezing (Xu, Evans and Qi 2018,
// arXiv:1704.01155), whose squeezers stand for the samples.
type PredictionL1 struct {
	Reduce string `yaml:"reduce" enum:"mean|max" doc:"reduction over the samples"`
}

// ReconstructionError is the mean over features of (x − x'_s)² for l2, of
// |x − x'_s| for l1, mean over samples, in the input's units.
type ReconstructionError struct {
	Norm string `yaml:"norm" enum:"l1|l2" doc:"absolute or squared differences"`
}

var (
	_ detect.DifferentiableScore = (*PredictionL1)(nil)
	_ detect.DifferentiableScore = (*ReconstructionError)(nil)
)

// Needs implements detect.Requirer.
func (*PredictionL1) Needs() detect.Needs { return detect.Needs{Q: true} }

// Score implements detect.Score.
func (l *PredictionL1) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		sum, top := 0.0, 0.0
		for s := range e.Samples {
			d := l1(e.LogP.Row(i), e.LogQ.Row(i*e.Samples+s))
			sum, top = sum+d, max(top, d)
		}
		if l.Reduce == "max" {
			dst[i] = top
		} else {
			dst[i] = sum / float64(e.Samples)
		}
	}
}

// ScoreGrad implements detect.DifferentiableScore.
func (l *PredictionL1) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	for i, w := range weight {
		p, dp := e.LogP.Row(i), c.LogP.Row(i)
		lo, hi := 0, e.Samples
		if l.Reduce == "max" {
			best := -1.0
			for s := range e.Samples {
				if d := l1(p, e.LogQ.Row(i*e.Samples+s)); d > best {
					best, lo = d, s
				}
			}
			hi = lo + 1
		}
		w /= float64(hi - lo)
		for s := lo; s < hi; s++ {
			k := i*e.Samples + s
			q, dq := e.LogQ.Row(k), c.LogQ.Row(k)
			for c := range p {
				a, b := math.Exp(float64(p[c])), math.Exp(float64(q[c]))
				sign := w
				if a < b {
					sign = -w
				} else if a == b {
					continue
				}
				dp[c] += float32(sign * a)
				dq[c] -= float32(sign * b)
			}
		}
	}
}

func l1(p, q []float32) float64 {
	sum := 0.0
	for c := range p {
		sum += math.Abs(math.Exp(float64(p[c])) - math.Exp(float64(q[c])))
	}
	return sum
}

// Needs implements detect.Requirer.
func (*ReconstructionError) Needs() detect.Needs { return detect.Needs{Rebuilt: true} }

// Score implements detect.Score.
func (r *ReconstructionError) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		x, sum := e.X.Row(i), 0.0
		for s := range e.Samples {
			for j, v := range e.Rebuilt.Row(i*e.Samples + s) {
				d := float64(x[j]) - float64(v)
				if r.Norm == "l1" {
					sum += math.Abs(d)
				} else {
					sum += d * d
				}
			}
		}
		dst[i] = sum / float64(len(x)*e.Samples)
	}
}

// ScoreGrad implements detect.DifferentiableScore.
func (r *ReconstructionError) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	for i, w := range weight {
		x, dx := e.X.Row(i), c.X.Row(i)
		w /= float64(len(x) * e.Samples)
		for s := range e.Samples {
			k := i*e.Samples + s
			dr := c.Rebuilt.Row(k)
			for j, v := range e.Rebuilt.Row(k) {
				g := 2 * (float64(x[j]) - float64(v))
				if r.Norm == "l1" {
					g = sign(g)
				}
				dx[j] += float32(w * g)
				dr[j] -= float32(w * g)
			}
		}
	}
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// Graph implements detect.GraphedScore.
func (l *PredictionL1) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	d := b.Sum(b.Abs(b.Sub(b.Exp(e.LogP), b.Exp(e.LogQ))), 2)
	if l.Reduce == "max" {
		return b.Pick(d, b.ArgMax(d, 1))
	}
	return e.Samplewise(b, d)
}

// Graph implements detect.GraphedScore.
func (r *ReconstructionError) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	d := b.Sub(e.X, e.Rebuilt)
	if r.Norm == "l1" {
		d = b.Abs(d)
	} else {
		d = b.Mul(d, d)
	}
	return e.Samplewise(b, b.Mean(d, graph.Double, e.Size, 2))
}
