package host

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/health"
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
	if d.State().Threshold == nil || d.Experiment.Spec.Data.Of(role) == nil {
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
	return d.health(seen, rows.Labels, string(role)), nil
}

// health judges what Detect says of clean rows with the present threshold.
// labels may be nil.
func (d *Detector) health(r *detect.Result, labels []int, source string) *health.Report {
	o, t := d.Options(), d.Threshold()
	m := health.Measured{
		Source: source, Classes: d.Info().NumClasses, Names: d.ClassNames(),
		Labels: labels, Predicted: r.Predicted, Score: r.Score, Flagged: r.Adversarial, Corrected: r.Corrected, Abstains: d.State().Correction != nil,
		Promised: deref(t.Rule.FPR), Threshold: t.Value, ByClass: t.ByClass != nil, Code: spread(r.Latent), Surrogate: surrogate(d.gradientReport()),
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
