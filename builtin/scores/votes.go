package scores

import (
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Votes is 1 − (1/S) Σ_s [argmax Q_s = argmax P]: the share of a row's samples that
// are given another class than the row. It has S + 1 values, so that many rows may have
// the same score.
type Votes struct{}

var (
	_ detect.DifferentiableScore = (*Votes)(nil)
	_ detect.VoteScore           = (*Votes)(nil)
	_ detect.Approximate         = (*Votes)(nil)
)

// Needs implements detect.Requirer.
func (*Votes) Needs() detect.Needs { return detect.Needs{Q: true} }

// OfVotes implements detect.VoteScore.
func (*Votes) OfVotes(votes, of int) float64 { return float64(of-votes) / float64(of) }

// Score implements detect.Score.
func (v *Votes) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		first, votes := topOf(e.TopP, e.LogP, i), 0
		for s := range e.Samples {
			if topOf(e.TopQ, e.LogQ, i*e.Samples+s) == first {
				votes++
			}
		}
		dst[i] = v.OfVotes(votes, e.Samples)
	}
}

// topOf is the first class of a row.
func topOf(tops []int, logs *tensor.Tensor, row int) int {
	if tops != nil {
		return tops[row]
	}
	return oracle.Argmax(logs.Row(row))
}

// Approximate implements detect.Approximate: a count has no gradient.
func (*Votes) Approximate() bool { return true }

// ScoreGrad implements detect.DifferentiableScore by that of ce_top, which has the
// votes' class more probable in each sample.
func (*Votes) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	(*CETop)(nil).ScoreGrad(c, e, weight)
}

// Graph implements detect.GraphedScore.
func (*Votes) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	top := b.Unsqueeze(e.Predicted(b), 1)
	same := b.Op("Equal", []graph.Value{top, b.ArgMax(e.LogQ, 2)})
	return b.Sub(b.Number(graph.Double, 1), e.Samplewise(b, b.Where(same, b.Number(graph.Double, 1), b.Number(graph.Double, 0))))
}
