package host

import (
	"context"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// healthParts are what a health takes of the result of Detect.
var healthParts = detect.Include{Latent: true, Scores: true}

// trainedHealth is the health of a detector that was just trained: on the rows
// of data.calibration, as its calibration saw them, so that the classifier is
// asked nothing more; without them, where the threshold is given, on those of
// data.validation. It is nil for one without threshold, and where there is neither.
func (d *Detector) trainedHealth(ctx context.Context) (*health.Report, error) {
	role, seen := dataset.RoleCalibration, d.calibrated
	if seen == nil {
		role = dataset.RoleValidation
	}
	if d.State().Threshold == nil || d.Experiment.Spec.Data.Of(role) == nil && d.Experiment.rows.of[role] == nil {
		return nil, nil
	}
	rows, err := d.Experiment.Rows(role)
	if err != nil {
		return nil, err
	}
	if seen == nil {
		if seen, err = d.Detector.Detect(ctx, rows.X, healthParts); err != nil && ctx.Err() == nil {
			d.Experiment.o.logger().Warn("the guard's health could not be measured", "error", err)
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return d.health(ctx, seen, rows, string(role)), nil
}

// health judges what Detect says of clean rows, which may have labels, with the
// present threshold.
func (d *Detector) health(ctx context.Context, r *detect.Result, rows *dataset.Data, source string) *health.Report {
	o, t := d.Options(), d.Threshold()
	m := health.Measured{
		Source: source, Classes: d.Info().NumClasses, Names: d.ClassNames(),
		Labels: rows.Labels, Predicted: r.Predicted, Score: r.Score, Flagged: r.Adversarial, Corrected: r.Corrected, Abstains: d.State().Correction != nil,
		Promised: deref(t.Rule.FPR), Threshold: t.Value, ByClass: t.Rule.By != "", Bound: deref(t.Rule.ClassFPR), Code: spread(r.Latent), Surrogate: surrogate(d.gradientReport()),
	}
	if v := d.Voting(); v != nil {
		m.Votes, m.Quorum = v.N, slices.Max(append(d.Quorums(), 0))
	}
	m.Declared, m.Unprepared = d.declared(), d.unprepared(ctx, rows)
	if m.Hardened = d.made.measured(); m.Hardened == nil && d.Saved != nil {
		m.Hardened = d.Saved.Meta.Hardened
	}
	if t := d.Experiment.Spec.Train; m.Hardened == nil && t != nil {
		m.Unmeasured = t.Harden != nil
	}
	_, m.Coded = d.Experiment.Spec.Detector.Chosen().(detect.Coded)
	if o.Opinion.Form().Rebuilt > 0 {
		m.Reconstructed = r.Reconstructed
	}
	if len(o.Scores) > 1 {
		m.Parts = r.Scores
		for _, s := range o.Scores {
			m.PartNames = append(m.PartNames, s.Name)
		}
	}
	return health.Judge(m)
}

// declared is the accuracy that the classifier's author declares; 0: none.
func (d *Detector) declared() float64 {
	m := d.Experiment.Spec.Classifier.Model
	if m.Accuracy != nil {
		return *m.Accuracy
	}
	if p, err := m.Find(d.Experiment.finder(), d.Experiment.Spec.Abs(".")); err == nil {
		return p.Manifest.Accuracy
	}
	return 0
}

// mostUnprepared bounds the rows that are asked about twice.
const mostUnprepared = 1000

// unprepared is what the classifier says of the rows as the files have them, where
// the guard gives it prepared ones of the same shape that it was not trained on here
// and that classifier.preprocess does not take back: whoever trained it may not have
// prepared them. nil: there is nothing to compare, or it does not take such rows.
func (d *Detector) unprepared(ctx context.Context, rows *dataset.Data) *health.Unprepared {
	m := d.Experiment.Spec.Classifier.Model
	if m.Train != nil || m.Preprocess != nil || rows.Labels == nil {
		return nil
	}
	door, err := d.Experiment.Door()
	if err != nil || door.Identity() {
		return nil
	}
	n := min(rows.X.N(), mostUnprepared)
	x, err := door.Undo(rows.X.Rows(0, n))
	if err != nil || !x.Example().Equal(rows.X.Example()) {
		return nil
	}
	z, err := d.Classifier.Predict(ctx, x)
	if err != nil {
		return nil
	}
	u := &health.Unprepared{N: n}
	for i := range n {
		if oracle.Argmax(z.Row(i)) == rows.Labels[i] {
			u.Right++
		}
	}
	return u
}

// spread is the standard deviation of each column; nil of nil.
func spread(t *tensor.Tensor) []float64 {
	if t == nil {
		return nil
	}
	n := float64(t.N())
	mean, out := make([]float64, t.Stride()), make([]float64, t.Stride())
	for i := range t.N() {
		for j, v := range t.Row(i) {
			mean[j] += float64(v) / n
		}
	}
	for i := range t.N() {
		for j, v := range t.Row(i) {
			out[j] += (float64(v) - mean[j]) * (float64(v) - mean[j]) / n
		}
	}
	for j, v := range out {
		out[j] = math.Sqrt(v)
	}
	return out
}

// surrogate is how well one agrees with the classifier; nil: there is none.
func surrogate(r *gradient.Report) *health.Agreement {
	if r == nil || r.HeldOut == nil {
		return nil
	}
	f := r.HeldOut
	return &health.Agreement{Plain: f.Agreement, Balanced: f.Balanced, Majority: f.Majority, N: f.N}
}
