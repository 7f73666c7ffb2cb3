package detect

import (
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/oracle"
)

// The statistic of a row is the number to compare with those of calibration rows, where
// a stream is watched for drift: made in one way of calibration rows and of rows that
// are detected, and by nothing that calibration rows decide, but for a fusion's
// distributions, which are of rows of their own. So clean rows like the calibration rows
// are exchangeable with them, which their scores need not be: Align moves those by
// thresholds that calibration rows set, and votes that end early count fewer than
// calibration counts.
//
// It is the score before Align or, where votes end early, that of the votes which Detect
// counts first: each row has as many, whatever its quorum.

// Statistics are those of the calibration rows, in ascending order: what Result.Statistic
// is compared with. Nil without calibration rows, and for a detector whose votes end early
// and that was calibrated before these were kept: calibrate it anew.
func (d *Detector) Statistics() []float64 {
	s := d.state.Load()
	if d.voting != nil && d.voting.early {
		return slices.Sorted(slices.Values(s.First))
	}
	return s.Scores
}

// first is the score of a row by the votes that are counted first; row i of v has the
// class predicted.
func (d *Detector) first(v *view, i, predicted int) float64 {
	looks, votes := looksOf(d.voting.N), 0
	for s := range looks[0] {
		if at := i*v.samples + s; !v.void(at) && oracle.Argmax(v.outR.Row(at)) == predicted {
			votes++
		}
	}
	return d.o.Scores[d.voting.score].Score.(VoteScore).OfVotes(votes, looks[0])
}

// settle makes the statistics of a result whose fused scores, before Align, these are.
func (r *Result) settle(fused []float64) {
	r.Statistic = fused
	if r.first != nil {
		r.Statistic = slices.Clone(r.first)
		for i, f := range fused {
			if math.IsInf(f, 1) {
				r.Statistic[i] = f
			}
		}
	}
}
