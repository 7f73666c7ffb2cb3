package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Guard is the detector that is evaluated.
type Guard interface {
	Detect(ctx context.Context, x *tensor.Tensor, include detect.Include) (*detect.Result, error)
}

// NamedAttack is an attack and the name that the spec gave it.
type NamedAttack struct {
	Name   string
	Attack attack.Attack
}

// Corruption is a natural change of an input, not an attack: a detector should
// not flag it where the prediction stays the same.
type Corruption interface {
	// Levels are the severities to measure, each 1 to 5.
	Levels() []int
	// Corrupt writes a corrupted copy of the example x, of the given shape,
	// to dst. The caller clips to the box, whose width scales every effect.
	Corrupt(dst, x []float32, shape tensor.Shape, box attack.Box, severity int, r *rand.Rand) error
}

// NamedCorruption is a corruption and the name that the spec gave it.
type NamedCorruption struct {
	Name       string
	Corruption Corruption
}

// Options say what is evaluated, on what, and how thoroughly.
type Options struct {
	Name       string
	Guard      Guard
	Classifier sdk.Classifier // without the detector
	// Gradient says where the Classifier's gradients come from; nil: from
	// itself.
	Gradient *gradient.Report
	// Guarded is the guarded classifier with detect's outputs, with the
	// stored noise or with fresh noise of the given seed. Adaptive attacks
	// need it.
	Guarded func(fresh bool, seed uint64) sdk.Forwarder
	// Transfer is the guarded classifier of another seed's detector, on which
	// transfer attacks are made, and that detector's threshold, in the unit of its scores: there the attacker
	// sees whether a row passes. What the attack made is judged by Guard. Without Transfer such attacks are left
	// out, with a warning.
	Transfer func(fresh bool, seed uint64) (m sdk.Forwarder, threshold float64)
	// Certify proves what no attack can do; nil: the detector has no votes to prove
	// it of.
	Certify   Certify
	Threshold float64
	// ClassThresholds are those by predicted class, for the report: the
	// guard's scores are aligned, and Threshold is for all. Nil: there is one.
	ClassThresholds []detect.ClassThreshold
	// PromisedFPR is the false-alarm rate that the calibration promised; 0:
	// none.
	PromisedFPR float64
	// PromisedClassFPR is that of each predicted class; 0: none.
	PromisedClassFPR   float64
	PromisedConfidence float64 // 0: the rate is an expectation
	CalibrationRows    int
	Method, Digest     string
	// Health is the detector's, for the report; nil: not known.
	Health              *health.Report
	X                   *tensor.Tensor // clean test rows
	Labels              []int
	ClassNames, Feature []string // may be nil
	Box                 attack.Box

	Deviations []float64 // of data.train's features, for eps_unit: std
	// Constraints hold every attack, those that know the detector included, to
	// rows that are possible. Nil: none.
	Constraints *attack.Constraints
	// Unconstrained says in the report that the data have constraints, which
	// were set aside.
	Unconstrained bool

	Attacks     []NamedAttack // adaptive ones among them
	Corruptions []NamedCorruption
	// Section bounds the rows that are attacked.
	Section
	// CurveFactors are the multiples of eps of a security curve; nil: ¼, ½,
	// 1, 1½, 2.
	CurveFactors []float64
	Seed         uint64
	Batch        int
	SkipChecks   bool // leave out the self-checks that cost model calls

	// Cached may keep adversarial rows: it returns what it has under the id,
	// or what make makes. Nil: make is called.
	Cached   func(id string, rows []int, make func() (*attack.Adversarial, error)) (*attack.Adversarial, error)
	Progress func(stage string, done, total int)

	SpecSHA256, Version string
}

// Run evaluates a detector. The Details hold what plots and paired tests need.
func Run(ctx context.Context, o Options) (*Report, *Details, error) {
	start := time.Now()
	e, err := newEvaluation(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	e.bound()
	if err := e.clean(ctx); err != nil {
		return nil, nil, err
	}
	if err := e.certify(ctx); err != nil {
		return nil, nil, err
	}
	for i, a := range e.o.Attacks {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if attack.IsTransferred(a.Attack) && e.o.Transfer == nil {
			e.warn("attack %s was left out: it needs a detector of another seed to transfer from", e.ids[i])
			continue
		}
		var no *attack.InapplicableError
		switch err := e.attack(ctx, a, e.ids[i]); {
		case errors.As(err, &no):
			e.left[e.ids[i]] = true
			e.warn("attack %s was left out: %s", e.ids[i], no.Reason)
		case err != nil:
			return nil, nil, fmt.Errorf("attack %s: %w", e.ids[i], err)
		}
	}
	e.union()
	e.worst()
	for _, c := range e.o.Corruptions {
		if err := e.corrupt(ctx, c); err != nil {
			return nil, nil, fmt.Errorf("corruption %s: %w", c.Name, err)
		}
	}
	if err := e.curves(ctx); err != nil {
		return nil, nil, fmt.Errorf("security curves: %w", err)
	}
	if err := e.check(ctx); err != nil {
		return nil, nil, fmt.Errorf("self-checks: %w", err)
	}
	if err := e.examples(ctx); err != nil {
		return nil, nil, err
	}
	e.report.Seconds = time.Since(start).Seconds()
	return e.report, e.details, nil
}

// evaluation is one Run.
type evaluation struct {
	o       Options
	ids     []string
	info    sdk.Info
	report  *Report
	details *Details
	result  *detect.Result  // of all clean rows
	numbers []int           // of the clean rows among those given, ascending; nil: all
	labels  []int           // of all that were given; nil: all are clean rows
	quiet   bool            // within a security curve
	left    map[string]bool // attacks that had nothing to work with, by id
}

func newEvaluation(ctx context.Context, o Options) (*evaluation, error) {
	if o.X == nil || o.X.N() == 0 {
		return nil, errors.New("no test rows to evaluate on")
	}
	if len(o.Labels) != o.X.N() {
		return nil, fmt.Errorf("evaluation needs a label for each row: got %d labels for %d rows", len(o.Labels), o.X.N())
	}
	if o.Bootstrap == 0 {
		o.Bootstrap = 1000
	}
	if o.Adaptive == 0 {
		o.Adaptive = 200
	}
	if o.CurveRows == 0 {
		o.CurveRows = 200
	}
	if o.CurveFactors == nil {
		o.CurveFactors = curveFactors()
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	info, err := o.Classifier.Info(ctx)
	if err != nil {
		return nil, err
	}
	if len(o.ClassNames) == 0 {
		o.ClassNames = info.Classes
	}
	for i, y := range o.Labels {
		if y < 0 || y >= info.NumClasses {
			return nil, fmt.Errorf("label of row %d is %d; the classifier has classes 0 to %d", i, y, info.NumClasses-1)
		}
	}
	e := &evaluation{o: o, ids: identify(o.Attacks), info: info, left: map[string]bool{}}
	e.report = &Report{
		Name:       o.Name,
		Classifier: ClassifierReport{Name: info.Name, Digest: info.Digest, Classes: info.NumClasses, Gradient: o.Gradient},
		Detector: DetectorReport{
			Method: o.Method, Digest: o.Digest, Threshold: Number(o.Threshold),
			PromisedFPR: Number(math.NaN()), ClassFPR: Number(math.NaN()), Calibration: o.CalibrationRows,
		},
		Attacks: []AttackReport{}, Adaptive: []AdaptiveReport{}, Corruptions: []CorruptionReport{}, Curves: []Curve{},
		Warnings: []string{}, Seed: o.Seed, SpecSHA256: o.SpecSHA256, Version: o.Version, Health: o.Health,
	}
	if e.report.Unconstrained = o.Unconstrained; o.Constraints != nil {
		n := o.Constraints.Count()
		e.report.Constraints = &n
	}
	if o.PromisedFPR > 0 {
		e.report.Detector.PromisedFPR = Number(o.PromisedFPR)
	}
	if o.PromisedClassFPR > 0 {
		e.report.Detector.ClassFPR = Number(o.PromisedClassFPR)
	}
	e.details = &Details{
		X: o.X, Labels: o.Labels, ClassNames: o.ClassNames, Features: o.Feature, Threshold: o.Threshold, Shape: o.X.Example().Clone(),
	}
	return e, nil
}

// progress reports a stage, unless it is a part of a larger one.
func (e *evaluation) progress(stage string, done, total int) {
	if !e.quiet {
		e.o.Progress(stage, done, total)
	}
}

// warn adds a warning, once.
func (e *evaluation) warn(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	for _, w := range e.report.Warnings {
		if w == s {
			return
		}
	}
	e.report.Warnings = append(e.report.Warnings, s)
}

// detect runs the detector, in pieces so that progress shows. Verdicts are those of
// deployment; scores, which figures rank rows by, are of all votes where votes end early.
func (e *evaluation) detect(ctx context.Context, stage string, x *tensor.Tensor) (*detect.Result, error) {
	const piece = 500
	out := &detect.Result{}
	for lo := 0; lo < x.N(); lo += piece {
		hi := min(lo+piece, x.N())
		r, err := e.o.Guard.Detect(ctx, x.Rows(lo, hi), detect.Include{AllVotes: true})
		if err != nil {
			return nil, err
		}
		out.Score = append(out.Score, r.Score...)
		out.PValue = append(out.PValue, r.PValue...)
		out.Adversarial = append(out.Adversarial, r.Adversarial...)
		out.Predicted = append(out.Predicted, r.Predicted...)
		out.Reconstructed = append(out.Reconstructed, r.Reconstructed...)
		out.Corrected = append(out.Corrected, r.Corrected...)
		if r.NotFinite != nil && out.NotFinite == nil {
			out.NotFinite = make([]bool, lo, x.N())
		}
		if out.NotFinite != nil {
			out.NotFinite = append(out.NotFinite, r.NotFinite...)
			out.NotFinite = append(out.NotFinite, make([]bool, hi-len(out.NotFinite))...)
		}
		e.progress(stage, hi, x.N())
	}
	return out, nil
}

// lost warns of rows that are flagged because their reconstruction is not finite.
func (e *evaluation) lost(r *detect.Result, rows string) {
	if n := count(r.NotFinite); n > 0 {
		e.warn("the reconstruction of %d of %d %s is not finite, as of rows far from all that was trained on: their score is infinite, and they are flagged", n, len(r.Score), rows)
	}
}

// clean evaluates the detector on clean test rows.
func (e *evaluation) clean(ctx context.Context) error {
	start := time.Now()
	r, err := e.detect(ctx, "clean rows", e.o.X)
	if err != nil {
		return err
	}
	n := e.o.X.N()
	e.report.Detector.MsPerInstance = time.Since(start).Seconds() * 1000 / float64(n)
	if e.o.Certify != nil { // it votes, and deployed it does not count all votes of all rows
		if e.report.Detector.MsPerInstance, err = e.deployed(ctx); err != nil {
			return err
		}
	}
	e.result = r
	e.details.Clean, e.details.CleanResult = r.Score, r
	e.lost(r, "clean rows")
	flagged := count(r.Adversarial)
	right, reconstructed, corrected := agree(r.Predicted, e.o.Labels), agree(r.Reconstructed, e.o.Labels), agree(r.Corrected, e.o.Labels)
	e.report.Classifier.Accuracy = share(right, n)
	e.report.Clean = CleanReport{
		N: n, FPR: share(flagged, n), Accuracy: share(right, n),
		AccuracyReconstructed: share(reconstructed, n), AccuracyCorrected: share(corrected, n),
		CI95: map[string]Interval{
			"fpr": ClopperPearson(flagged, n), "accuracy": ClopperPearson(right, n),
			"accuracy_reconstructed": ClopperPearson(reconstructed, n), "accuracy_corrected": ClopperPearson(corrected, n),
		},
	}
	e.report.Clean.Classes = e.classRates(r)
	return nil
}

// deployed is the time in milliseconds that Detect takes for a clean row.
func (e *evaluation) deployed(ctx context.Context) (float64, error) {
	const most = 500
	start, x := time.Now(), e.o.X.Rows(0, min(most, e.o.X.N()))
	_, err := e.o.Guard.Detect(ctx, x, detect.Include{})
	return time.Since(start).Seconds() * 1000 / float64(x.N()), err
}

func count(b []bool) int {
	n := 0
	for _, v := range b {
		if v {
			n++
		}
	}
	return n
}

func agree(a, b []int) int {
	n := 0
	for i := range a {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}

// WriteJSON writes report.json.
func (r *Report) WriteJSON(w io.Writer) error { return writeIndented(w, r) }
