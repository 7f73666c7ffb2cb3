package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// CertifyOptions say what a detector is certified on.
type CertifyOptions struct {
	Rows  *dataset.Data // clean rows with labels, as Read gives them; nil: the spec's data.test
	Limit int           // class-balanced number of rows; 0: all
	Votes int           // noisy copies that a certificate rests on; 0: the detector's proof_votes
	Alpha float64       // chance that a certificate does not hold; 0: the detector's alpha
	Radii []float64     // of the curve, ≥ 0; nil: evaluate.Radii
	Alone bool          // certify the classifier by itself too, for comparison
}

// Certification is what is proved of rows: a curve, beside false alarms and clean cost, and
// row by row.
type Certification struct {
	Method   string `json:"method"`
	Detector string `json:"detector"` // its digest
	Version  string `json:"version"`
	evaluate.CertifiedReport
	Rows []CertifiedRow `json:"rows"`
}

// CertifiedRow is one row of a Certification, with the radii of a detect.Certificate for its
// label.
type CertifiedRow struct {
	Index       int              `json:"index"` // of the rows given
	Label       int              `json:"label"`
	Predicted   int              `json:"predicted"`
	Corrected   int              `json:"corrected"`
	Adversarial int              `json:"is_adversarial"` // 0, 1
	Votes       int              `json:"votes"`          // of proof_votes, for the label
	Share       float64          `json:"share"`          // lower bound of the label's share of all votes
	Radius      float64          `json:"certified_radius"`
	Answer      float64          `json:"certified_radius_corrected"`
	Smoothed    float64          `json:"certified_radius_smoothed"`
	Alone       *evaluate.Number `json:"certified_radius_classifier_alone,omitempty"`
}

// CertifyRows proves what it can of clean rows with their labels: see
// detect.Detector.Certify for the statement. It wants a detector that flags by votes.
func (d *Detector) CertifyRows(ctx context.Context, o CertifyOptions) (*Certification, error) {
	if err := d.Certifies(); err != nil {
		return nil, fmt.Errorf("certify: method %s: %w", d.Experiment.Spec.Detector.Method.Name, err)
	}
	for _, r := range o.Radii {
		if !(r >= 0) || math.IsInf(r, 0) {
			return nil, fmt.Errorf("certify: radius %v, want a number from 0", r)
		}
	}
	rows := o.Rows
	if rows == nil {
		var err error
		if rows, err = d.Experiment.Rows(dataset.RoleTest); err != nil {
			return nil, err
		}
	}
	if rows.X == nil || rows.X.N() == 0 {
		return nil, errors.New("certify: no rows")
	}
	if len(rows.Labels) != rows.X.N() {
		return nil, fmt.Errorf("certify: %d labels for %d rows: what is proved is that of a row's true class", len(rows.Labels), rows.X.N())
	}
	chosen := evaluate.Balanced(rows.Labels, o.Limit, d.Experiment.Spec.Seed)
	x, labels := tensor.Batch(len(chosen), rows.X.Example()), make([]int, len(chosen))
	for i, row := range chosen {
		copy(x.Row(i), rows.X.Row(row))
		labels[i] = rows.Labels[row]
	}
	start := time.Now()
	proofs, err := d.Certify(ctx, x, labels, detect.CertifyOptions{Votes: o.Votes, Alpha: o.Alpha, Alone: o.Alone, Progress: func(done, of int) {
		d.Experiment.o.progress(Progress{Stage: "certificates", Done: done, Total: of, Ended: done >= of})
	}})
	if err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	r, err := d.Detector.Detect(ctx, x, detect.Include{})
	if err != nil {
		return nil, err
	}
	radii := slices.Clone(o.Radii)
	slices.Sort(radii)
	out := &Certification{Method: d.Experiment.Spec.Detector.Method.Name, Detector: d.Digest(), Version: Version(),
		CertifiedReport: *evaluate.NewCertifiedReport(proofs, r, labels, o.Alone, slices.Compact(radii))}
	out.Seconds = took
	for i, c := range proofs.Rows {
		row := CertifiedRow{Index: chosen[i], Label: labels[i], Predicted: r.Predicted[i], Corrected: r.Corrected[i],
			Votes: c.Votes, Share: c.Share, Radius: c.Radius, Answer: c.Corrected, Smoothed: c.Smoothed}
		if r.Adversarial[i] {
			row.Adversarial = 1
		}
		if o.Alone {
			row.Alone = new(evaluate.Number(c.Alone))
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}
