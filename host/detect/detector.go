package detect

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// NamedScore is a score and the name that errors give it.
type NamedScore struct {
	Name  string
	Score Score
}

// Options are the parts of a detector. They must not change once it is made.
type Options struct {
	Method     string         // its name, for messages
	Opinion    Opinion        // nil: None
	Classifier sdk.Classifier // required; a Forwarder if there are hidden heads
	// Rebuilt answers for reconstructions where Detect and DetectGiven ask, in the
	// classifier's place: the same model in another process, or nearer. nil: the
	// classifier does.
	Rebuilt sdk.Classifier
	Input   tensor.Shape // of one example, NHWC; nil: the classifier's
	// Noise is ε_1 … ε_S, (S, code), that a Noisy opinion drew.
	Noise *tensor.Tensor

	Scores      []NamedScore // at least one
	Fusion      FusionRule   // required if there are several
	Temperature float64      // 0: 1
	Clip        float64      // floor of probabilities; 0: none
	Hidden      []oracle.Head
	Correct     *Correct // what calibrations learn of correction; nil: each flagged row is corrected
	// Precision is that of the products of Opinion and of the heads; "": float32. A
	// threshold is for the precision that it was calibrated with.
	Precision kernel.Precision
	Seed      uint64 // of the halves that a fusion calibrates on
	Threads   int    // of each pass; 0: GOMAXPROCS
	Passes    int    // that may run at once; 0: 4
	// InTurns keeps host and classifier from working at the same time: the same bits,
	// later. It is for measuring what working at the same time saves.
	InTurns bool

	// State is an earlier calibration; the zero value is none.
	State State
}

// State is the result of a calibration.
type State struct {
	Threshold *Threshold // nil: none, and Detect refuses
	Scores    []float64  // calibration scores, ascending, before Align; nil: no p-values
	Classes   []int      // class predicted for each of them; nil: thresholds are not by class
	// First is, for each of them, the score by the votes that Detect counts first; nil: votes
	// do not end early, or the calibration is older than this.
	First     []float64
	Reference [][]float64 // a fusion's, per score, ascending
	// Correction says which flagged rows are corrected; nil: all. Detect goes by it
	// whatever Options.Correct is.
	Correction *Correction
}

// Detector scores, flags and corrects inputs. Its methods may be called
// concurrently; Calibrate takes effect for the calls that start after it.
type Detector struct {
	o       Options
	info    sdk.Info
	oracle  *oracle.Oracle
	rebuilt *oracle.Oracle // of Options.Rebuilt; else oracle
	read    oracle.Reading // of the classifier
	input   tensor.Shape
	form    Form
	samples int     // rows of second opinion per instance, ≥ 1
	voting  *voting // nil: the opinion does not vote
	pool    *pool
	state   atomic.Pointer[state]
}

type state struct {
	State
	fusion  *Fusion
	byClass [][]float64 // Scores of each class; nil: thresholds are not by class
	quorum  []int       // of votes, by predicted class; nil: they are not counted
}

// New checks that the parts fit together. The caller keeps the classifier and
// closes it after the detector.
func New(ctx context.Context, o Options) (*Detector, error) {
	if o.Opinion == nil {
		o.Opinion = None{}
	}
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	if o.Classifier == nil {
		return nil, fmt.Errorf("detector: no classifier")
	}
	info, err := o.Classifier.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("detector: classifier: %w", err)
	}
	if !info.Ready {
		return nil, fmt.Errorf("detector: the classifier %s is not trained", info.Name)
	}
	if !(o.Temperature > 0) || !(o.Clip >= 0 && o.Clip < 1) {
		return nil, fmt.Errorf("detector: temperature %g, want > 0; probability_clip %g, want 0 to 1", o.Temperature, o.Clip)
	}
	d := &Detector{o: o, info: info, form: o.Opinion.Form(), samples: 1,
		read: oracle.Reading{Kind: info.Output, Temperature: o.Temperature, Clip: o.Clip}}
	if err := d.checkMethod(); err != nil {
		return nil, fmt.Errorf("detector: method %s: %w", o.Method, err)
	}
	if err := d.checkScores(); err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	if d.voting, err = newVoting(d.o); err != nil {
		return nil, fmt.Errorf("detector: method %s: %w", o.Method, err)
	}
	if err := d.consult(ctx); err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	st := &state{State: o.State}
	if o.Fusion != NoFusion && o.State.Reference != nil {
		if st.fusion, err = NewFusion(o.Fusion, o.State.Reference); err != nil {
			return nil, fmt.Errorf("detector: %w", err)
		}
	}
	if err := st.splitScores(info.NumClasses); err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	if n := len(st.First); n > 0 && n != len(st.Scores) {
		return nil, fmt.Errorf("detector: %d scores of first votes for %d calibration rows", n, len(st.Scores))
	}
	if err := st.Correction.check(info.NumClasses); err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	st.quorum = d.quorums(st)
	d.state.Store(st)
	d.pool = newPool(d)
	return d, nil
}

// Close ends the detector's threads, once all calls have returned. The
// classifier stays.
func (d *Detector) Close() error {
	d.pool.close()
	return nil
}

// InputShape is the shape of one example.
func (d *Detector) InputShape() tensor.Shape { return d.input.Clone() }

// Info describes the classifier.
func (d *Detector) Info() sdk.Info { return d.info }

// Options are the parts that the detector was made of.
func (d *Detector) Options() Options { return d.o }

// State is the present calibration. It shares its slices, which must not be
// changed.
func (d *Detector) State() State { return d.state.Load().State }

func (d *Detector) checkMethod() error {
	o := d.o
	d.input = o.Input
	if d.input == nil {
		d.input = d.info.InputShape
		if s := d.input; d.info.Layout == sdk.NCHW && len(s) == 3 {
			d.input = tensor.Shape{s[1], s[2], s[0]}
		}
	}
	if shaped, ok := o.Opinion.(interface{ InputShape() tensor.Shape }); ok {
		if s := shaped.InputShape(); !s.Equal(d.input) {
			return fmt.Errorf("it is for inputs of shape %v, the classifier takes %v", s, d.input)
		}
	}
	d.samples = max(1, d.form.Rebuilt)
	_, noisy := o.Opinion.(Noisy)
	switch f := d.form; {
	case f.Logits && f.Rebuilt > 0:
		return fmt.Errorf("its form is %+v: it predicts by itself or reconstructs, not both", f)
	case f.Code > 0 && f.Rebuilt == 0:
		return fmt.Errorf("its form is %+v: a code without a reconstruction", f)
	case f.Code > 0 && f.Rebuilt > 1 && !noisy:
		return fmt.Errorf("its form is %+v: a code has one reconstruction, or one for each draw of noise (detect.Noisy)", f)
	}
	if !noisy {
		d.o.Noise = nil
		return nil
	}
	if o.Noise == nil || len(o.Noise.Shape) != 2 || o.Noise.N() < 1 || o.Noise.Stride() != d.form.Code {
		return fmt.Errorf("want noise of shape samples×%d", d.form.Code)
	}
	d.samples = o.Noise.N()
	return nil
}

// rebuilds reports whether the method makes other inputs of an input.
func (d *Detector) rebuilds() bool { return d.form.Rebuilt > 0 }

func (d *Detector) checkScores() error {
	o := d.o
	switch {
	case len(o.Scores) == 0:
		return fmt.Errorf("no score")
	case len(o.Scores) > 1 && o.Fusion == NoFusion:
		return fmt.Errorf("%d scores need a fusion: fisher, cauchy or tippett", len(o.Scores))
	case len(o.Scores) == 1 && o.Fusion != NoFusion:
		d.o.Fusion = NoFusion
	}
	for _, s := range o.Scores {
		if err := CheckScore(s, o.Method, d.form, len(o.Hidden) > 0); err != nil {
			return err
		}
	}
	return nil
}

// CheckScore finds out whether a method whose opinion has a form, with or
// without heads on hidden layers, has what a score reads.
func CheckScore(s NamedScore, method string, f Form, hidden bool) error {
	switch needs := NeedsOf(s.Score); {
	case needs.Q && f.Rebuilt == 0 && !f.Logits:
		return fmt.Errorf("score %s needs a second prediction, which method %s does not have", s.Name, method)
	case needs.Rebuilt && f.Rebuilt == 0:
		return fmt.Errorf("score %s needs reconstructions, which method %s does not have", s.Name, method)
	case needs.Hidden && !hidden:
		return fmt.Errorf("score %s needs detector.hidden_layers", s.Name)
	}
	return nil
}

// consult makes the oracles, with their heads on hidden layers.
func (d *Detector) consult(ctx context.Context) (err error) {
	if len(d.o.Hidden) > 0 && !d.rebuilds() {
		return fmt.Errorf("hidden layers need reconstructions, which method %s does not have", d.o.Method)
	}
	d.oracle, err = oracle.New(d.o.Classifier, d.info, d.o.Hidden)
	if d.rebuilt = d.oracle; err != nil || d.o.Rebuilt == nil {
		return err
	}
	info, err := d.o.Rebuilt.Info(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("the classifier for reconstructions: %w", err)
	case !info.Ready:
		return fmt.Errorf("the classifier for reconstructions, %s, is not trained", info.Name)
	case info.NumClasses != d.info.NumClasses || info.Output != d.info.Output || !info.InputShape.Equal(d.info.InputShape):
		return fmt.Errorf("the classifier for reconstructions takes %v and gives %s of %d classes, the guarded one takes %v and gives %s of %d",
			info.InputShape, info.Output, info.NumClasses, d.info.InputShape, d.info.Output, d.info.NumClasses)
	}
	d.rebuilt, err = oracle.New(d.o.Rebuilt, info, d.o.Hidden)
	return err
}

// RowError is a fault of one row of the input.
type RowError struct {
	Row     int // in the batch, from 0
	Message string
}

// Error writes row 3: message.
func (e *RowError) Error() string { return fmt.Sprintf("row %d: %s", e.Row, e.Message) }

// checkInput refuses other shapes and numbers that are not finite.
func (d *Detector) checkInput(x *tensor.Tensor) error {
	if !x.Example().Equal(d.input) {
		return fmt.Errorf("the rows have shape %v, the detector takes %v", x.Example(), d.input)
	}
	for i := range x.N() {
		for j, v := range x.Row(i) {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return &RowError{Row: i, Message: fmt.Sprintf("feature %d is %v", j, v)}
			}
		}
	}
	return nil
}
