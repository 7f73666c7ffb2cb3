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
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// healthParts are what a health takes of the result of Detect.
var healthParts = detect.Include{Latent: true, Scores: true}

// trainedHealth is the health of a detector that was just trained: on the rows
// of data.calibration, as its calibration saw them, and of data.validation what the
// calibration rows say too well; without calibration rows, where the threshold is given, on
// those of data.validation alone. It is nil for one without threshold, and where there is
// neither.
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
	before := d.Classifier.Answered()
	if seen == nil {
		if seen, err = d.Detector.Detect(ctx, rows.X, healthParts); err != nil && ctx.Err() == nil {
			d.Experiment.o.logger().Warn("the guard's health could not be measured", "error", err)
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return d.health(ctx, seen, rows, role, before)
}

// measured is what Detect says of rows, with what health takes of them.
func (d *Detector) measured(r *detect.Result, rows *dataset.Data, role dataset.Role) health.Measured {
	m := health.Measured{Source: string(role), Labels: rows.Labels, Predicted: r.Predicted, Score: r.Score, Flagged: r.Adversarial, Corrected: r.Corrected}
	if d.Options().Opinion.Form().Rebuilt > 0 {
		m.Reconstructed = r.Reconstructed
	}
	return m
}

// health judges what Detect says of clean rows, which may have labels, with the
// present threshold. before is how many rows the classifier had answered when nothing had
// been asked for the health alone. The error is that of ctx.
func (d *Detector) health(ctx context.Context, r *detect.Result, rows *dataset.Data, role dataset.Role, before int64) (*health.Report, error) {
	o, t := d.Options(), d.Threshold()
	m := d.measured(r, rows, role)
	m.Classes, m.Names, m.Abstains = d.Info().NumClasses, d.ClassNames(), d.State().Correction != nil
	m.Promised, m.Threshold, m.ByClass, m.Bound = deref(t.Rule.FPR), t.Value, t.Rule.By != "", deref(t.Rule.ClassFPR)
	m.Code, m.Surrogate = spread(r.Latent), surrogate(d.gradientReport())
	if m.Learnt = role == dataset.RoleCalibration && (t.Rule.Value == nil || m.Abstains); m.Learnt {
		m.HeldOut = d.heldOut(ctx, rows)
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
	if len(o.Scores) > 1 {
		m.Parts = r.Scores
		for _, s := range o.Scores {
			m.PartNames = append(m.PartNames, s.Name)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	m.Queries = d.Classifier.Answered() - before
	return health.Judge(m), nil
}

// heldOut is what the guard does with the rows of data.validation, from which neither the
// threshold nor correction has learnt anything; nil: there are none, or not those that it
// was trained with, or some of them are calibration rows too.
func (d *Detector) heldOut(ctx context.Context, calibration *dataset.Data) *health.Measured {
	e, role := d.Experiment, dataset.RoleValidation
	if e.Spec.Data.Of(role) == nil && e.rows.of[role] == nil {
		return nil
	}
	without := func(reason string, args ...any) *health.Measured {
		e.o.logger().Debug("false alarms and correction are judged on calibration rows: those of data.validation "+reason, args...)
		return nil
	}
	rows, err := e.Rows(role)
	switch {
	case err != nil: // of a detector that was opened where they are not
		return without("cannot be read", "error", err)
	case d.Saved != nil && d.Saved.Meta.Data[string(role)] != rows.Source:
		return without("are not those that it was trained with")
	case !rows.Example().Equal(calibration.Example()):
		return without("have another shape")
	case dataset.Shared(calibration, rows) > 0:
		return without("are calibration rows too")
	}
	seen, err := d.Detector.Detect(ctx, rows.X, detect.Include{})
	if err != nil {
		return without("could not be judged", "error", err)
	}
	m := d.measured(seen, rows, role)
	return &m
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

// comparesUnprepared reports whether unprepared asks the classifier, if rows have labels.
func (s *Spec) comparesUnprepared(door *signature.Door) bool {
	m := s.Classifier.Model
	return m.Train == nil && m.Preprocess == nil && !door.Identity()
}

// unpreparedRows is how many of n calibration rows unprepared asks about.
func (e *Experiment) unpreparedRows(n int) float64 {
	src := e.Spec.Data.Calibration
	if src == nil {
		return 0
	}
	if door, _, err := e.Spec.door(e.Spec.Document, *src, e.c); err != nil || !e.Spec.comparesUnprepared(door) {
		return 0
	}
	return float64(min(n, mostUnprepared))
}

// unprepared is what the classifier says of the rows as the files have them, where
// the guard gives it prepared ones of the same shape that it was not trained on here
// and that classifier.preprocess does not take back: whoever trained it may not have
// prepared them. nil: there is nothing to compare, or it does not take such rows.
func (d *Detector) unprepared(ctx context.Context, rows *dataset.Data) *health.Unprepared {
	door, err := d.Experiment.Door()
	if err != nil || rows.Labels == nil || !d.Experiment.Spec.comparesUnprepared(door) {
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
