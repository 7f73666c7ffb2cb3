package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/evaluate/report"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// EvaluateOptions say what a detector is judged on.
type EvaluateOptions struct {
	X           *tensor.Tensor       // clean rows; nil: the spec's data.test
	Labels      []int                // of X
	Attacks     []registry.Component // nil: the spec's
	Corruptions []registry.Component // nil: the spec's
	History     []train.Record       // training curves for the report, if at hand
	Transfer    *Detector            // from whose guard transfer attacks come; nil: none
}

// Evaluate attacks the classifier and the guard and measures what the guard
// is worth.
func (d *Detector) Evaluate(ctx context.Context, o EvaluateOptions) (*evaluate.Report, *evaluate.Details, error) {
	eo, err := d.Judging(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	return evaluate.Run(ctx, eo)
}

// Judging are the options of an evaluation of the detector.
func (d *Detector) Judging(ctx context.Context, o EvaluateOptions) (evaluate.Options, error) {
	s := d.Experiment.Spec
	var classes, features []string
	if o.X == nil {
		rows, err := d.Experiment.Rows(dataset.RoleTest)
		if err != nil {
			return evaluate.Options{}, err
		}
		o.X, o.Labels, classes, features = rows.X, rows.Labels, rows.Classes, rows.Features
	}
	if o.Attacks == nil {
		o.Attacks = s.Attacks
	}
	if o.Corruptions == nil {
		o.Corruptions = s.Corruptions
	}
	reference := o.X // whose range bounds attacks if the classifier declares none
	if rows, err := d.Experiment.Rows(dataset.RoleTrain); err == nil {
		reference = rows.X
	}
	info, err := d.Classifier.Info(ctx)
	if err != nil {
		return evaluate.Options{}, err
	}
	if len(classes) == 0 {
		classes = info.Classes
	}
	threshold := d.Threshold()
	box, err := attack.BoxOf(attack.Box{}, info, reference)
	if err != nil {
		return evaluate.Options{}, err
	}
	eo := evaluate.Options{
		Name: s.Title(), Guard: d.Detector, Classifier: d.Model(), Gradient: d.gradientReport(),
		Guarded: func(fresh bool, seed uint64) sdk.Forwarder {
			return d.Guard(detect.GuardOptions{Fresh: fresh, Seed: seed})
		},
		Threshold: threshold.Value, PromisedFPR: deref(threshold.Rule.FPR), PromisedConfidence: deref(threshold.Rule.Confidence), CalibrationRows: threshold.N,
		Method: s.Detector.Method.Name, Digest: d.Digest(),
		X: o.X, Labels: o.Labels, ClassNames: classes, Feature: features,
		Box:        box,
		Deviations: attack.Deviations(reference),
		Section:    s.Evaluate, Seed: s.Seed, Version: Version(),
		SpecSHA256: sha(s.Resolved()),
		Progress: func(stage string, done, total int) {
			d.Experiment.o.progress(Progress{Stage: stage, Done: done, Total: total, Ended: done >= total})
		},
	}
	if o.Transfer != nil {
		eo.Transfer = func(fresh bool, seed uint64) sdk.Forwarder {
			return o.Transfer.Guard(detect.GuardOptions{Fresh: fresh, Seed: seed})
		}
	}
	for _, c := range o.Attacks {
		eo.Attacks = append(eo.Attacks, evaluate.Named{Name: c.Name, Attack: registry.As[attack.Attack](c)})
	}
	for _, c := range o.Corruptions {
		eo.Corruptions = append(eo.Corruptions, evaluate.NamedCorruption{Name: c.Name, Corruption: registry.As[evaluate.Corruption](c)})
	}
	return eo, nil
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// WriteReport writes report.json, report.html and scores.json, which paired
// tests between detectors read, into dir, each whole or not at all.
func (d *Detector) WriteReport(dir string, r *evaluate.Report, details *evaluate.Details, history []train.Record) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, "report.json"), func(f *os.File) error {
		enc := json.NewEncoder(f)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, "scores.json"), func(f *os.File) error {
		return details.Scores().WriteJSON(f)
	}); err != nil {
		return err
	}
	o := report.Options{
		Training: series(history), Spec: string(d.Experiment.Spec.Resolved()),
		Provenance: []report.Fact{
			{Name: "vaeguard", Value: Version()}, {Name: "Go", Value: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
			{Name: "detector", Value: d.Digest()}, {Name: "spec", Value: r.SpecSHA256},
		},
	}
	return atomicfile.Write(filepath.Join(dir, "report.html"), func(f *os.File) error {
		return report.WriteHTML(f, r, details, o)
	})
}

// series are the training curves, by metric, over epochs.
func series(history []train.Record) []report.Series {
	var out []report.Series
	at := map[string]int{}
	for _, rec := range history {
		for _, m := range rec.Metrics {
			i, ok := at[m.Name]
			if !ok {
				i = len(out)
				at[m.Name] = i
				out = append(out, report.Series{Name: m.Name})
			}
			out[i].X = append(out[i].X, float64(rec.Epoch))
			out[i].Y = append(out[i].Y, m.Value)
		}
	}
	return out
}

func deref(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
