package host

import (
	"context"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// mostHealthRows bounds the rows that a health is measured on: more say no more.
const mostHealthRows = 5000

// trainedHealth is the health of a detector that was just trained, on the rows
// of data.calibration or, without them, of data.validation. It is nil for one
// without threshold, and where there is neither.
func (d *Detector) trainedHealth(ctx context.Context) (*health.Report, error) {
	for _, role := range []dataset.Role{dataset.RoleCalibration, dataset.RoleValidation} {
		if d.Experiment.Spec.Data.Of(role) == nil {
			continue
		}
		rows, err := d.Experiment.Rows(role)
		if err != nil {
			return nil, err
		}
		r, err := d.health(ctx, rows, string(role))
		if err != nil && ctx.Err() == nil {
			d.Experiment.o.logger().Warn("the guard's health could not be measured", "error", err)
			return nil, nil
		}
		return r, err
	}
	return nil, nil
}

// health looks at what the detector does with clean rows, prepared; nil: there
// are none.
func (d *Detector) health(ctx context.Context, rows *dataset.Data, source string) (*health.Report, error) {
	if rows == nil || rows.X == nil || rows.N() == 0 || d.State().Threshold == nil {
		return nil, nil
	}
	x, labels := rows.X, rows.Labels
	if n := rows.N(); n > mostHealthRows {
		at := make([]int, mostHealthRows) // evenly, whatever the order of the file
		for i := range at {
			at[i] = int(int64(i) * int64(n) / mostHealthRows)
		}
		x = x.Gather(at)
		if labels != nil {
			all := labels
			labels = make([]int, len(at))
			for i, row := range at {
				labels[i] = all[row]
			}
		}
	}
	r, err := d.Detector.Detect(ctx, x, detect.Include{Latent: true, Scores: true})
	if err != nil {
		return nil, fmt.Errorf("health: %w", err)
	}
	o, t := d.Options(), d.Threshold()
	m := health.Measured{
		Source: source, Classes: d.Info().NumClasses, Names: d.ClassNames(),
		Labels: labels, Predicted: r.Predicted, Score: r.Score, Flagged: r.Adversarial,
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
	return health.Judge(m), nil
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
