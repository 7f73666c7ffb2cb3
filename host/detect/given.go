package detect

import (
	"context"
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// GivenOptions of DetectGiven. The zero value is Detect.
type GivenOptions struct {
	Include Include
	// Samples is how many draws of noise are used for a row, the first ones of the
	// detector's; 0: all. Fewer cost less, and make another statistic than the one
	// that was calibrated: what is promised of the threshold does not hold for it.
	Samples int
}

// DetectGiven is Detect where the classifier's answer p on x, (n, classes) of the
// kind that its Info says, is known: it is asked about reconstructions alone, and
// where there are heads on hidden layers about x too, for those. The result has the
// bits of Detect where p has those of the classifier. nil: it is asked.
func (d *Detector) DetectGiven(ctx context.Context, x, p *tensor.Tensor, o GivenOptions) (*Result, error) {
	st := d.state.Load()
	if st.Threshold == nil {
		return nil, ErrNoThreshold
	}
	noise, err := d.draws(o.Samples)
	if err != nil {
		return nil, err
	}
	if p != nil {
		if err := oracle.Check(p, x.N(), d.info.NumClasses); err != nil {
			return nil, fmt.Errorf("the given answer: %w", err)
		}
	}
	lost := make([]bool, x.N())
	if o.Include.CertifiedRadius {
		if err := d.Certifies(); err != nil {
			return nil, fmt.Errorf("certified_radius: %w", err)
		}
	}
	var raw [][]float64
	var r *Result
	if d.voting != nil && d.voting.early {
		raw, r, err = d.surveyVotes(ctx, x, p, lost, o.Include, st)
	} else {
		raw, r, err = d.survey(ctx, x, p, noise, lost, o.Include)
	}
	if err != nil {
		return nil, err
	}
	st.conclude(r, raw, lost, o.Include)
	if o.Include.CertifiedRadius {
		return r, d.certify(ctx, x, r)
	}
	return r, nil
}

// certify fills in the certified radii of a result.
func (d *Detector) certify(ctx context.Context, x *tensor.Tensor, r *Result) error {
	all, err := d.Certify(ctx, x, r.Corrected, CertifyOptions{})
	if err != nil {
		return err
	}
	r.CertifiedRadius = make([]float64, x.N())
	for i, c := range all.Rows {
		r.CertifiedRadius[i] = c.Radius
	}
	return nil
}

// Survey is Detect before there is a verdict, and so without a threshold: of the
// result's scores it has Scores alone, each by itself; what is not finite is in
// NotFinite.
func (d *Detector) Survey(ctx context.Context, x *tensor.Tensor, include Include) (*Result, error) {
	lost := make([]bool, x.N())
	raw, r, err := d.survey(ctx, x, nil, d.o.Noise, lost, include)
	if err != nil {
		return nil, err
	}
	r.Adversarial, r.Corrected, r.Scores = nil, nil, raw
	if slices.Contains(lost, true) {
		r.NotFinite = lost
	}
	return r, nil
}

// draws is the noise for a number of samples.
func (d *Detector) draws(samples int) (*tensor.Tensor, error) {
	switch {
	case samples < 0 || samples > d.samples:
		return nil, fmt.Errorf("%d samples: want 1 to %d, which the detector has", samples, d.samples)
	case samples == 0 || samples == d.samples:
		return d.o.Noise, nil
	case d.o.Noise == nil:
		return nil, fmt.Errorf("%d samples: the %d second opinions of method %s are not draws of noise: it takes all", samples, d.samples, d.o.Method)
	}
	return d.o.Noise.Rows(0, samples), nil
}

// Samples is how many reconstructions of a row the classifier is asked about; 0
// for methods that reconstruct nothing.
func (d *Detector) Samples() int {
	if !d.rebuilds() {
		return 0
	}
	return d.samples
}

// Asked is how many rows the guarded classifier is asked about for one row:
// samples as in GivenOptions, given whether its answer on the row is known. What
// Options.Rebuilt answers does not count.
func (d *Detector) Asked(samples int, given bool) int {
	n := 0
	if !given || len(d.o.Hidden) > 0 {
		n = 1
	}
	if d.o.Rebuilt != nil {
		return n
	}
	if samples <= 0 {
		samples = d.samples
	}
	return n + min(samples, d.Samples())
}

// askApart is ask where the answer on x is given, or another classifier answers
// for x'. all are x, then x'. Nothing is left to pull gradients back through.
func (d *Detector) askApart(ctx context.Context, v *view, all, given *tensor.Tensor) error {
	n, own := v.x.N(), len(d.o.Hidden) > 0 || given == nil
	if own && d.rebuilds() && d.o.Rebuilt == nil { // it is asked about all rows at once
		if err := d.ask(ctx, v, all); err != nil {
			return err
		}
	} else if err := d.askBoth(ctx, v, all.Rows(0, n), own); err != nil {
		return err
	}
	if given != nil {
		v.outP = given
		if v.second.Rebuilt == nil {
			v.outR = given
		}
	}
	return nil
}

// askBoth asks about x, if own, and about x', each by itself.
func (d *Detector) askBoth(ctx context.Context, v *view, x *tensor.Tensor, own bool) error {
	var first oracle.Answer
	var err error
	if own {
		inner, end := begin(ctx, "P")
		first, err = d.oracle.Predict(inner, x, nil)
		if end(err); err != nil {
			return err
		}
		v.answer, v.outP, v.outR = first, first.Output, first.Output
	}
	if v.second.Rebuilt == nil {
		return nil
	}
	inner, end := begin(ctx, "Q")
	second, err := d.rebuilt.Predict(inner, v.second.Rebuilt, nil)
	if end(err); err != nil {
		return err
	}
	v.outR = second.Output
	for j, h := range second.Hidden {
		both := tensor.New(append([]int{x.N() + h.N()}, h.Example()...)...)
		copy(both.Data, first.Hidden[j].Data)
		copy(both.Rows(x.N(), both.N()).Data, h.Data)
		v.answer.Hidden[j] = both
	}
	return nil
}
