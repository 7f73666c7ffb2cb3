package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/evaluate/report"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
)

// EvaluateOptions say what a detector is evaluated on.
type EvaluateOptions struct {
	Rows        *dataset.Data        // clean rows with labels, as Read gives them; nil: the spec's data.test
	Attacks     []registry.Component // nil: the spec's
	Corruptions []registry.Component // nil: the spec's
	// Unconstrained lets attacks make rows that the data's constraints call
	// impossible, for comparison; the report says so.
	Unconstrained bool
	Limit         int       // class-balanced number of rows to attack, and to score clean unless evaluate.clean_limit says more; 0: the spec's evaluate.limit
	Transfer      *Detector // of another seed for the same classifier, on which transfer attacks are made; nil: the spec's
}

// Evaluate attacks the classifier and the guarded classifier and measures what
// is detected and what evades.
func (d *Detector) Evaluate(ctx context.Context, o EvaluateOptions) (_ *evaluate.Report, _ *evaluate.Details, err error) {
	if o.Transfer == nil {
		if o.Transfer, err = d.openTransfer(ctx, o); err != nil {
			return nil, nil, err
		}
		if o.Transfer != nil {
			defer func() { err = errors.Join(err, o.Transfer.Close()) }()
		}
	}
	if o.Transfer != nil {
		if err := d.sameClassifier(ctx, o.Transfer); err != nil {
			return nil, nil, err
		}
	}
	eo, err := d.Judging(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	return evaluate.Run(ctx, eo)
}

// openTransfer opens the detector of evaluate.transfer_from if an attack is
// made on it; nil: none is.
func (d *Detector) openTransfer(ctx context.Context, o EvaluateOptions) (*Detector, error) {
	s := d.Experiment.Spec
	attacks := o.Attacks
	if attacks == nil {
		attacks = s.Attacks
	}
	if s.Evaluate.Transfer == "" || !slices.ContainsFunc(attacks, func(c registry.Component) bool {
		return attack.IsTransferred(registry.As[attack.Attack](c))
	}) {
		return nil, nil
	}
	other, err := OpenContext(ctx, s.Abs(s.Evaluate.Transfer), d.Experiment.c, d.alike())
	if err != nil {
		return nil, s.Errorf("evaluate.transfer_from", "%v", err)
	}
	return other, nil
}

// sameClassifier refuses a detector of another classifier: attacks on it say
// nothing of this one.
func (d *Detector) sameClassifier(ctx context.Context, other *Detector) error {
	was, err := other.Classifier.Info(ctx)
	if err != nil {
		return err
	}
	info, err := d.Classifier.Info(ctx)
	if err != nil {
		return err
	}
	if was.Digest != info.Digest || was.Name != info.Name {
		return fmt.Errorf("transfer attacks want a detector of the same classifier: %s guards %s %s, this one %s %s",
			other.Saved.Dir, was.Name, cmp.Or(was.Digest, "without a digest"), info.Name, cmp.Or(info.Digest, "without a digest"))
	}
	return nil
}

// Target is the guarded classifier as an attacker aims at it who attacks another detector through this one, with its
// threshold; +Inf without one. fresh and seed are GuardOptions'.
func (d *Detector) Target(fresh bool, seed uint64) (m sdk.Forwarder, threshold float64) {
	threshold = math.Inf(1)
	if t := d.State().Threshold; t != nil {
		threshold = t.Value
	}
	return d.Guard(detect.GuardOptions{Fresh: fresh, Seed: seed}), threshold
}

// Judging returns the options of an evaluation of the detector.
func (d *Detector) Judging(ctx context.Context, o EvaluateOptions) (evaluate.Options, error) {
	s := d.Experiment.Spec
	var classes, features []string
	rows := o.Rows
	if rows == nil {
		var err error
		if rows, err = d.Experiment.Rows(dataset.RoleTest); err != nil {
			return evaluate.Options{}, err
		}
	}
	classes, features = rows.Classes, rows.Features
	if door, err := d.Experiment.Door(); err == nil && door.Columns() != nil {
		features = door.Columns()
	}
	if o.Attacks == nil {
		o.Attacks = s.Attacks
	}
	if o.Corruptions == nil {
		o.Corruptions = s.Corruptions
	}
	reference := dataset.InMemory(rows.X) // whose range bounds attacks if the classifier declares none
	if train, err := d.Experiment.trainRows(); err == nil {
		reference = train
	}
	info, err := d.Classifier.Info(ctx)
	if err != nil {
		return evaluate.Options{}, err
	}
	if len(classes) == 0 {
		classes = info.Classes
	}
	threshold := d.Threshold()
	box, err := attack.BoxOfTrain(info, reference)
	if err != nil {
		return evaluate.Options{}, err
	}
	deviations, err := dataset.Deviations(reference)
	if err != nil {
		return evaluate.Options{}, err
	}
	constraints, err := d.Experiment.Constraints()
	if err != nil {
		return evaluate.Options{}, err
	}
	unconstrained := o.Unconstrained && constraints != nil
	if unconstrained {
		constraints = nil
	}
	eo := evaluate.Options{
		Name: s.Title(), Guard: d.Detector, Classifier: d.Model(), Gradient: d.gradientReport(),
		Guarded: func(fresh bool, seed uint64) sdk.Forwarder {
			return d.Guard(detect.GuardOptions{Fresh: fresh, Seed: seed})
		},
		Threshold: threshold.Value, PromisedFPR: deref(threshold.Rule.FPR), PromisedClassFPR: threshold.Rule.OfClasses(), PromisedConfidence: deref(threshold.Rule.Confidence), CalibrationRows: threshold.N,
		Method: s.Detector.Method.Name, Digest: d.Digest(),
		ClassThresholds: threshold.ByClass,
		X:               rows.X, Labels: rows.Labels, ClassNames: classes, Feature: features,
		Box:        box,
		Deviations: deviations, Constraints: constraints, Unconstrained: unconstrained,
		Section: s.Evaluate, Seed: s.Seed, Version: Version(),
		SpecSHA256: sha(s.Resolved()),
		Progress: func(stage string, done, total int) {
			d.Experiment.o.progress(Progress{Stage: stage, Done: done, Total: total, Ended: done >= total})
		},
	}
	if d.Certifies() == nil {
		eo.Certify = d.Certify
	}
	if o.Limit > 0 {
		eo.Section.Limit = o.Limit
	}
	if d.Saved != nil {
		eo.Health = d.Saved.Meta.Health
	}
	if o.Transfer != nil {
		eo.Transfer = o.Transfer.Target
	}
	eo.Attacks = namedAttacks(o.Attacks)
	for _, c := range o.Corruptions {
		eo.Corruptions = append(eo.Corruptions, evaluate.NamedCorruption{Name: c.Name, Corruption: registry.As[evaluate.Corruption](c)})
	}
	return eo, nil
}

func namedAttacks(components []registry.Component) []evaluate.NamedAttack {
	out := make([]evaluate.NamedAttack, len(components))
	for i, c := range components {
		out[i] = evaluate.NamedAttack{Name: c.Name, Attack: registry.As[attack.Attack](c)}
	}
	return out
}

// ExpectGates is an error where a gate asks for what the report of an evaluation with
// these attacks, nil for the spec's, cannot have.
func (e *Experiment) ExpectGates(gates []evaluate.Gate, attacks []registry.Component) error {
	if attacks == nil {
		attacks = e.Spec.Attacks
	}
	for _, g := range gates {
		if err := g.Expect(namedAttacks(attacks)); err != nil {
			return err
		}
	}
	return nil
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ReportOptions are what a report shows besides the evaluation.
type ReportOptions struct {
	History []train.Record // training curves; nil: not shown
	Data    string         // where the clean test rows come from; "": the spec's data.test
	Command string         // shell command that reproduces it; "": not shown
}

// WriteReport writes report.json, report.html and scores.json, which paired
// tests between detectors read, into dir, each whole or not at all.
func (d *Detector) WriteReport(dir string, r *evaluate.Report, details *evaluate.Details, o ReportOptions) error {
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
	layers, err := d.Experiment.Spec.describe(d.InputShape(), r.Classifier.Classes)
	if err != nil {
		return err
	}
	page := report.Options{
		Training: series(o.History), Spec: string(d.Experiment.Spec.Resolved()), Sections: d.Experiment.c.Sections,
		Date: reportDate(), Data: cmp.Or(o.Data, d.Experiment.Spec.testSource()),
		Provenance: []report.Fact{
			{Name: "test rows", Value: evaluate.Digest(details.X)}, {Name: "cores", Value: fmt.Sprint(runtime.NumCPU())},
			{Name: "Go", Value: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
		},
	}
	if door, err := d.Experiment.Door(); err == nil && !door.Identity() && door.Restorable() {
		page.Undo = door.Undo
	}
	if o.Command != "" {
		page.Command = []string{d.Experiment.Spec.Unexpand(o.Command)}
	}
	if len(layers) > 0 {
		var b strings.Builder
		if err := vae.WriteTable(&b, layers); err != nil {
			return err
		}
		page.Summary = b.String()
	}
	return atomicfile.Write(filepath.Join(dir, "report.html"), func(f *os.File) error {
		return report.WriteHTML(f, r, details, page)
	})
}

// reportDate is now, or what SOURCE_DATE_EPOCH says, with which the same evaluation
// has the same page (reproducible-builds.org).
func reportDate() time.Time {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0).UTC()
	}
	return time.Now().UTC()
}

// testSource is where the rows of data.test come from, in words; "" without them.
func (s *Spec) testSource() string {
	src := s.Data.Of(dataset.RoleTest)
	if src == nil {
		return ""
	}
	key, name := src.Where()
	name = key + " " + name
	if src.Split != "" {
		name += ", split " + src.Split
	}
	return s.Unexpand(name)
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
