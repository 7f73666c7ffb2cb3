package detect

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// tally counts votes for classes.
type tally []int

// shares are those of so many votes, as probabilities of a row's second opinion. Where
// all of them are void it is the classifier's, of the class predicted.
func (t tally) shares(of, predicted int) []float64 {
	out, valid := make([]float64, len(t)), 0
	for c, n := range t {
		out[c] = float64(n) / float64(of)
		valid += n
	}
	if valid == 0 {
		out[predicted] = 1
	}
	return out
}

// tally counts the votes of row i of a view.
func (d *Detector) tally(v *view, i int) tally {
	out := make(tally, d.info.NumClasses)
	for s := range v.samples {
		if at := i*v.samples + s; !v.void(at) {
			out[oracle.Argmax(v.outR.Row(at))]++
		}
	}
	return out
}

// surveyVotes is survey where votes are all that counts, and may end early: once a
// row has so many that it passes, it is asked for no more, and its score is that of
// the votes so far, or the threshold if that is less. A row that is flagged has all
// its votes, and the bits of survey.
func (d *Detector) surveyVotes(ctx context.Context, x, given *tensor.Tensor, lost []bool, include Include, st *state) ([][]float64, *Result, error) {
	if err := d.checkInput(x); err != nil {
		return nil, nil, err
	}
	p, err := d.pool.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer d.pool.put(p)
	e := &election{d: d, draw: p.second.(Drawer), st: st, raw: d.columns(x.N()), lost: lost, r: d.newResult(x.N(), include), all: include.AllVotes}
	if e.all {
		e.r.passed = make([]bool, x.N())
	} else {
		e.r.bound = make([]float64, x.N())
	}
	for lo := 0; lo < x.N(); lo += d.chunk() {
		hi := min(lo+d.chunk(), x.N())
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		var known *tensor.Tensor
		if given != nil {
			known = given.Rows(lo, hi)
		}
		if err := e.hold(ctx, x.Rows(lo, hi), known, lo); err != nil {
			return nil, nil, fmt.Errorf("rows %d to %d: %w", lo, hi-1, err)
		}
	}
	return e.raw, e.r, nil
}

// election is one surveyVotes.
type election struct {
	d    *Detector
	draw Drawer
	st   *state
	raw  [][]float64
	lost []bool
	r    *Result
	all  bool // votes are counted to the end, also of rows that pass before
}

// candidate is a row whose votes are counted.
type candidate struct {
	at    int // in the chunk
	stops stops
	votes tally
	count int // votes so far
}

// hold counts the votes of the rows x, the first being row lo of all.
func (e *election) hold(ctx context.Context, x, outP *tensor.Tensor, lo int) error {
	d, n := e.d, x.N()
	if outP == nil {
		a, err := d.oracle.Predict(ctx, x, nil)
		if err != nil {
			return err
		}
		outP = a.Output
	}
	all := make([]candidate, n)
	open := make([]*candidate, n)
	stops := map[int]stops{}
	for i := range all {
		e.r.Predicted[lo+i] = oracle.Argmax(outP.Row(i))
		q := e.st.quorum[e.r.Predicted[lo+i]]
		if _, ok := stops[q]; !ok {
			stops[q] = newStops(d.voting.N, q, d.voting.Stop)
		}
		all[i] = candidate{at: i, stops: stops[q], votes: make(tally, d.info.NumClasses)}
		open[i] = &all[i]
	}
	v := &view{x: x, outP: outP, outR: tensor.New(n*d.voting.N, d.info.NumClasses), samples: d.voting.N}
	from := 0
	for look, to := range all[0].stops.looks { // the same for every quorum
		if len(open) == 0 {
			break
		}
		if err := e.ask(ctx, v, open, from, to, lo); err != nil {
			return err
		}
		still := open[:0]
		for _, c := range open {
			passes := !e.lost[lo+c.at] && c.votes[e.r.Predicted[lo+c.at]] >= c.stops.least[look]
			if passes && e.all {
				e.r.passed[lo+c.at] = true
			}
			if !passes || e.all {
				still = append(still, c)
			}
		}
		open, from = still, to
	}
	for i := range all {
		e.declare(v, &all[i], lo+i)
	}
	return nil
}

// ask counts the votes from ≤ j < to of the open candidates.
func (e *election) ask(ctx context.Context, v *view, open []*candidate, from, to, lo int) error {
	d, k := e.d, to-from
	x := tensor.Batch(len(open), d.input)
	for i, c := range open {
		copy(x.Row(i), v.x.Row(c.at))
	}
	rebuilt := tensor.Batch(len(open)*k, d.input)
	e.draw.Draw(rebuilt, x, Draws{Use: ForVotes, From: from, To: to})
	for i, c := range open {
		for j := range k { // as checkRebuilt
			if part := rebuilt.Row(i*k + j); !finite(part) {
				v.spoil(c.at*d.voting.N + from + j)
				copy(part, x.Row(i))
				if !e.all || !e.r.passed[lo+c.at] {
					e.lost[lo+c.at] = true
				}
			}
		}
	}
	a, err := d.rebuilt.Predict(ctx, rebuilt, nil)
	if err != nil {
		return err
	}
	for i, c := range open {
		for j := range k {
			row, at := a.Output.Row(i*k+j), c.at*d.voting.N+from+j
			if copy(v.outR.Row(at), row); !v.void(at) {
				c.votes[oracle.Argmax(row)]++
			}
		}
		c.count = to
	}
	return nil
}

// declare writes what is known of a row, row at of all.
func (e *election) declare(v *view, c *candidate, at int) {
	d, r := e.d, e.r
	predicted := r.Predicted[at]
	if r.Probabilities != nil {
		d.read.P(r.Probabilities.Row(at), v.outP.Row(c.at))
	}
	shares := c.votes.shares(c.count, predicted)
	r.Reconstructed[at] = oracle.Argmax(shares)
	if r.ProbabilitiesReconstructed != nil {
		for class, share := range shares {
			r.ProbabilitiesReconstructed.Row(at)[class] = float32(share)
		}
	}
	score := d.o.Scores[0].Score.(VoteScore)
	r.first[at] = d.first(v, c.at, predicted)
	e.raw[0][at] = score.OfVotes(c.votes[predicted], c.count)
	if r.bound != nil {
		r.bound[at] = score.OfVotes(c.votes[predicted]+d.voting.N-c.count, d.voting.N)
	}
	if c.count < d.voting.N {
		e.raw[0][at] = min(e.raw[0][at], score.OfVotes(e.st.quorum[predicted], d.voting.N))
		return
	}
	if other := r.Reconstructed[at]; other != predicted {
		r.margin[at] = d.logOdds(v, c.at, other, predicted)
	}
}

// finite reports whether all numbers are.
func finite(v []float32) bool {
	for _, f := range v {
		if f-f != 0 {
			return false
		}
	}
	return true
}
