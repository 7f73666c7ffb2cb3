package detect

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// ErrNoThreshold is the error of detecting before any calibration.
var ErrNoThreshold = errors.New("the detector has no threshold: calibrate it first")

// chunkBytes bounds what one call of the classifier is sent.
const (
	chunkBytes = 16 << 20
	mostChunk  = 64 // instances
)

// chunk is how many instances are looked at together.
func (d *Detector) chunk() int {
	return max(1, min(mostChunk, chunkBytes/(4*d.input.Size()*(1+d.samples))))
}

// each looks at the rows of x, a chunk at a time, in order. given are the
// classifier's answers on them, nil: it is asked. lost marks those whose
// reconstruction is not finite; nil: they are errors.
//
// While the classifier answers one chunk the host takes the second opinion on the
// next one. Never are two calls under way, and they are the same calls as
// without: so are all bits, and a plugin that answers one call at a time is
// not asked for more.
func (d *Detector) each(ctx context.Context, x, given, noise *tensor.Tensor, lost []bool, f func(p *pass, v *view, lo, hi int) error) error {
	if err := d.checkInput(x); err != nil {
		return err
	}
	p, err := d.pool.get(ctx)
	if err != nil {
		return err
	}
	defer d.pool.put(p)
	step := d.chunk()
	prepare := func(lo int) *inquiry {
		q := &inquiry{lo: lo, hi: min(lo+step, x.N())}
		if given != nil {
			q.given = given.Rows(q.lo, q.hi)
		}
		var mark []bool
		if lost != nil {
			mark = lost[q.lo:q.hi]
		}
		if q.err = ctx.Err(); q.err == nil {
			q.v, q.err = d.second(ctx, p, x.Rows(q.lo, q.hi), noise, false, mark)
		}
		return q
	}
	var next *inquiry
	if x.N() > 0 {
		next = prepare(0)
	}
	aside := oracle.NewAside(false)
	for next != nil {
		q := next
		if q.err != nil {
			return q.fault(q.err)
		}
		if next = nil; q.hi < x.N() && !d.o.InTurns {
			aside.Ask(ctx, oracle.QuestionFunc(func(ctx context.Context) error { return d.inquire(ctx, q.v, q.given) }))
			next = prepare(q.hi)
			err = aside.Wait()
		} else {
			err = d.inquire(ctx, q.v, q.given)
		}
		if err != nil {
			return q.fault(err)
		}
		d.gather(p.engine, q.v)
		if err := f(p, q.v, q.lo, q.hi); err != nil {
			return err
		}
		if next == nil && q.hi < x.N() {
			next = prepare(q.hi)
		}
	}
	return nil
}

// inquiry is rows lo to hi on their way through each.
type inquiry struct {
	lo, hi int
	v      *view
	given  *tensor.Tensor
	err    error // of what the host did
}

// fault puts an error in its place.
func (q *inquiry) fault(err error) error {
	var bad *RowError
	switch {
	case errors.As(err, &bad):
		return &RowError{Row: q.lo + bad.Row, Message: bad.Message}
	case q.v == nil: // the context's
		return err
	}
	return fmt.Errorf("rows %d to %d: %w", q.lo, q.hi-1, err)
}

// Scores are the scores of n instances, fused if there are several, and aligned
// where thresholds are by class.
func (d *Detector) Scores(ctx context.Context, x *tensor.Tensor) ([]float64, error) {
	st := d.state.Load()
	if d.o.Fusion != NoFusion && st.fusion == nil {
		return nil, fmt.Errorf("fusion %s: %w", d.o.Fusion, ErrNoThreshold)
	}
	raw, predicted, err := d.raw(ctx, x)
	if err != nil {
		return nil, err
	}
	return st.align(st.fuse(raw), predicted), nil
}

// raw are the scores one by one, [score][instance], and the predicted classes.
func (d *Detector) raw(ctx context.Context, x *tensor.Tensor) ([][]float64, []int, error) {
	out, predicted := d.columns(x.N()), make([]int, x.N())
	err := d.each(ctx, x, nil, d.o.Noise, nil, func(_ *pass, v *view, lo, hi int) error {
		for i := lo; i < hi; i++ {
			predicted[i] = oracle.Argmax(v.outP.Row(i - lo))
		}
		return d.score(out, v, lo, hi)
	})
	return out, predicted, err
}

func (d *Detector) columns(n int) [][]float64 {
	out := make([][]float64, len(d.o.Scores))
	for j := range out {
		out[j] = make([]float64, n)
	}
	return out
}

// score writes the scores of one chunk to rows lo … hi−1.
func (d *Detector) score(out [][]float64, v *view, lo, hi int) error {
	for j, s := range d.o.Scores {
		dst := out[j][lo:hi]
		s.Score.Score(dst, v.evidence)
		for i, f := range dst {
			if math.IsNaN(f) || math.IsInf(f, 0) {
				if v.lost != nil {
					v.lost[i], dst[i] = true, 0 // Detect gives it its verdict
					continue
				}
				return &RowError{Row: lo + i, Message: fmt.Sprintf("score %s is %v: the classifier or the reconstruction is not finite", s.Name, f)}
			}
		}
	}
	return nil
}

// fuse is the one score that a threshold applies to.
func (s *state) fuse(raw [][]float64) []float64 {
	if s.fusion == nil {
		return raw[0]
	}
	out := make([]float64, len(raw[0]))
	s.fusion.Fuse(out, raw)
	return out
}

// Detect scores, flags and corrects n instances. One whose reconstruction or
// score is not finite is the strangest there is: its score is +Inf, it is flagged, and
// Result.NotFinite has it. Where copies vote, those that are not finite vote for no class:
// such a row has the answer of the others. A fault of one row is a *RowError.
//
// Where a detector flags by votes alone, it counts them as they come and ends those
// of a row that passes: a row that all votes would flag passes with a chance of at most
// Votes.Stop, whatever the row, and the verdict on all others is that of all votes.
// The score of a row whose votes ended early is one less the share of those it had, or
// the threshold if that is less; Scores, Survey, calibration and Include.AllVotes count all
// votes. Its p-value is that of the least score that all votes could give it, so that it is
// one of the score of all votes, or more.
func (d *Detector) Detect(ctx context.Context, x *tensor.Tensor, include Include) (*Result, error) {
	return d.DetectGiven(ctx, x, nil, GivenOptions{Include: include})
}

// survey is all that is known of rows before a threshold: their scores one by
// one, [score][instance], predictions, and what include names. given, noise and
// lost are those of each.
func (d *Detector) survey(ctx context.Context, x, given, noise *tensor.Tensor, lost []bool, include Include) ([][]float64, *Result, error) {
	raw, r := d.columns(x.N()), d.newResult(x.N(), include)
	err := d.each(ctx, x, given, noise, lost, func(p *pass, v *view, lo, hi int) error {
		if err := d.score(raw, v, lo, hi); err != nil {
			return err
		}
		for i := lo; i < hi; i++ {
			out := v.outP.Row(i - lo)
			r.Predicted[i] = oracle.Argmax(out)
			mean := d.secondOpinion(v, i-lo, r.Predicted[i])
			r.Reconstructed[i] = oracle.Argmax(mean)
			if !d.rebuilds() || d.voting == nil && lost != nil && lost[i] {
				r.Reconstructed[i] = r.Predicted[i]
			}
			if r.first != nil {
				r.first[i] = d.first(v, i-lo, r.Predicted[i])
			}
			if r.Reconstructed[i] != r.Predicted[i] {
				r.margin[i] = d.logOdds(v, i-lo, r.Reconstructed[i], r.Predicted[i])
			}
			if include.Probabilities {
				d.read.P(r.Probabilities.Row(i), out)
			}
			if include.ProbabilitiesReconstructed {
				for c, q := range mean {
					r.ProbabilitiesReconstructed.Row(i)[c] = float32(q)
				}
			}
		}
		if r.Latent != nil {
			copy(r.Latent.Rows(lo, hi).Data, v.second.Code.Data)
		}
		if r.Reconstruction != nil {
			p.second.Forward(&Second{Rebuilt: r.Reconstruction.Rows(lo, hi)}, v.x, nil)
		}
		return nil
	})
	return raw, r, err
}

// newResult is room for n rows.
func (d *Detector) newResult(n int, include Include) *Result {
	k := d.info.NumClasses
	r := &Result{Adversarial: make([]bool, n), Predicted: make([]int, n), Reconstructed: make([]int, n), Corrected: make([]int, n), margin: make([]float64, n)}
	if d.voting != nil && d.voting.early {
		r.first = make([]float64, n)
	}
	if include.Probabilities {
		r.Probabilities = tensor.New(n, k)
	}
	if include.ProbabilitiesReconstructed {
		r.ProbabilitiesReconstructed = tensor.New(n, k)
	}
	if include.Reconstruction && d.form.Code > 0 {
		r.Reconstruction = tensor.Batch(n, d.input)
	}
	if include.Latent && d.form.Code > 0 {
		r.Latent = tensor.New(n, d.form.Code)
	}
	return r
}

// Reconstruct is decoder(mean) of n instances, (n, example…), what Include.Reconstruction
// asks for, without the classifier; nil if the method has none.
func (d *Detector) Reconstruct(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if d.form.Code == 0 {
		return nil, nil
	}
	if err := d.checkInput(x); err != nil {
		return nil, err
	}
	p, err := d.pool.get(ctx)
	if err != nil {
		return nil, err
	}
	defer d.pool.put(p)
	out := tensor.Batch(x.N(), d.input)
	p.second.Forward(&Second{Rebuilt: out}, x, nil)
	return out, nil
}

// conclude flags and corrects what was surveyed. The rows of lost are flagged; nil:
// there are none.
func (s *state) conclude(r *Result, raw [][]float64, lost []bool, include Include) {
	fused := s.fuse(raw)
	r.Score = s.align(fused, r.Predicted)
	if include.Scores {
		r.Scores = raw
	}
	for i, far := range lost {
		if far {
			fused[i], r.Score[i] = math.Inf(1), math.Inf(1)
			if r.NotFinite == nil {
				r.NotFinite = make([]bool, len(fused))
			}
			r.NotFinite[i] = true
		}
	}
	r.settle(fused)
	if s.Scores != nil {
		r.PValue = make([]float64, len(fused))
	}
	for i, score := range r.Score {
		passed := r.passed != nil && r.passed[i]
		r.Adversarial[i] = score > s.Threshold.Value && !passed || lost != nil && lost[i]
		if s.Scores != nil {
			least := fused[i]
			if r.bound != nil {
				least = min(least, r.bound[i])
			}
			r.PValue[i] = s.pValue(least, r.Predicted[i])
		}
	}
	s.correct(r)
}

// correct gives the answers of flagged rows.
func (s *state) correct(r *Result) {
	for i, flagged := range r.Adversarial {
		r.Corrected[i] = r.Predicted[i]
		if flagged && s.Correction.corrects(r.Predicted[i], r.margin[i]) {
			r.Corrected[i] = r.Reconstructed[i]
		}
	}
}

// secondOpinion is what a result tells of the classes of row i: the shares of the
// votes, or the mean probability.
func (d *Detector) secondOpinion(v *view, i, predicted int) []float64 {
	if d.voting != nil {
		return d.tally(v, i).shares(v.samples, predicted)
	}
	return d.meanProbability(v, i)
}

// meanProbability is the mean over samples of M(x'_s) for instance i.
func (d *Detector) meanProbability(v *view, i int) []float64 {
	k := d.info.NumClasses
	sum, row := make([]float64, k), make([]float64, k)
	samples := v.outR.N() / v.x.N()
	for s := range samples {
		d.read.LogP(row, v.outR.Row(i*samples+s))
		for c, l := range row {
			sum[c] += math.Exp(l)
		}
	}
	for c := range sum {
		sum[c] /= float64(samples)
	}
	return sum
}
