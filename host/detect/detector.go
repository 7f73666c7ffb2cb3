package detect

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Method is a kind of detector: where the second opinion on an input comes
// from.
type Method string

// The methods.
const (
	VAE          Method = "vae"               // sampled reconstructions
	AE           Method = "ae"                // one reconstruction, no noise
	MagNet       Method = "magnet"            // as ae, trained on reconstruction alone (Meng and Chen 2017)
	Distillation Method = "distillation"      // a student's opinion of the same input
	Squeezing    Method = "feature_squeezing" // squeezed versions of the input
	Softmax      Method = "max_softmax"       // none
)

// DefaultScores are the names of the scores, in the table of the shipped ones,
// and the fusion of them that a method has if the spec names none.
func DefaultScores(m Method) (names []string, fusion FusionRule) {
	switch m {
	case MagNet:
		return []string{"reconstruction_error", "js_10", "js_40"}, Tippett
	case Squeezing:
		return []string{"squeeze_l1"}, NoFusion
	case Softmax:
		return []string{"max_softmax"}, NoFusion
	}
	return []string{"kl"}, NoFusion
}

// NamedScore is a score and the name that errors give it.
type NamedScore struct {
	Name  string
	Score Score
}

// Options are the parts of a detector. They must not change once it is made.
type Options struct {
	Method     Method         // "" is VAE
	Classifier sdk.Classifier // required; a Forwarder if there are hidden heads
	Input      tensor.Shape   // of one example, NHWC; nil: the auto-encoder's, else the classifier's
	// What the method needs: an auto-encoder (vae, ae, magnet), a student
	// (distillation), squeezers (feature_squeezing; nil: DefaultSqueezers of
	// the classifier's range).
	Autoencoder Autoencoder
	Student     Network
	Squeezers   []Squeezer
	// Noise is ε_1 … ε_S, (S, latent), for vae: see DrawNoise.
	Noise *tensor.Tensor

	Scores      []NamedScore // at least one
	Fusion      FusionRule   // required if there are several
	Temperature float64      // 0: 1
	Clip        float64      // floor of probabilities; 0: none
	Hidden      []oracle.Head
	Seed        uint64 // of the halves that a fusion calibrates on
	Threads     int    // of each pass; 0: GOMAXPROCS
	Passes      int    // that may run at once; 0: 4

	// State is an earlier calibration; the zero value is none.
	State State
}

// State is what a calibration leaves behind.
type State struct {
	Threshold *Threshold  // nil: none, and Detect refuses
	Scores    []float64   // calibration scores, ascending; nil: no p-values
	Reference [][]float64 // a fusion's, per score, ascending
}

// Detector scores, flags and corrects inputs. Its methods may be called
// concurrently; Calibrate takes effect for the calls that start after it.
type Detector struct {
	o       Options
	info    sdk.Info
	oracle  *oracle.Oracle
	read    oracle.Reading // of the classifier
	input   tensor.Shape
	samples int // rows of second opinion per instance, ≥ 1
	latent  int
	pool    *pool
	state   atomic.Pointer[state]
}

type state struct {
	State
	fusion *Fusion
}

// New checks that the parts fit together. The caller keeps the classifier and
// closes it after the detector.
func New(ctx context.Context, o Options) (*Detector, error) {
	if o.Method == "" {
		o.Method = VAE
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
	d := &Detector{o: o, info: info, samples: 1,
		read: oracle.Reading{Kind: info.Output, Temperature: o.Temperature, Clip: o.Clip}}
	if err := d.checkMethod(); err != nil {
		return nil, fmt.Errorf("detector: method %s: %w", o.Method, err)
	}
	if err := d.checkScores(); err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	if err := d.consult(); err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	st := &state{State: o.State}
	if o.Fusion != NoFusion && o.State.Reference != nil {
		if st.fusion, err = NewFusion(o.Fusion, o.State.Reference); err != nil {
			return nil, fmt.Errorf("detector: %w", err)
		}
	}
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
		switch {
		case o.Autoencoder != nil:
			d.input = o.Autoencoder.InputShape()
		case d.info.Layout == sdk.NCHW && len(d.info.InputShape) == 3:
			s := d.info.InputShape
			d.input = tensor.Shape{s[1], s[2], s[0]}
		default:
			d.input = d.info.InputShape
		}
	}
	if o.Method != VAE {
		d.o.Noise = nil
	}
	switch o.Method {
	case VAE, AE, MagNet:
		if o.Autoencoder == nil {
			return fmt.Errorf("no auto-encoder")
		}
		if s := o.Autoencoder.InputShape(); !s.Equal(d.input) {
			return fmt.Errorf("the auto-encoder takes %v, the classifier %v", s, d.input)
		}
		d.latent = o.Autoencoder.CodeWidth()
		if o.Method != VAE {
			break
		}
		if o.Noise == nil || len(o.Noise.Shape) != 2 || o.Noise.N() < 1 || o.Noise.Stride() != d.latent {
			return fmt.Errorf("want noise of shape samples×%d", d.latent)
		}
		d.samples = o.Noise.N()
	case Distillation:
		if o.Student == nil {
			return fmt.Errorf("no student")
		}
		if s := o.Student.InputShape(); !s.Equal(d.input) {
			return fmt.Errorf("the student takes %v, the classifier %v", s, d.input)
		}
	case Squeezing:
		if len(o.Squeezers) == 0 {
			if len(d.info.Lo) == 0 || len(d.info.Hi) == 0 {
				return fmt.Errorf("the classifier declares no range to squeeze")
			}
			d.o.Squeezers = DefaultSqueezers(d.input, slices.Min(d.info.Lo), slices.Max(d.info.Hi))
		}
		d.samples = len(d.o.Squeezers)
	case Softmax:
	default:
		return fmt.Errorf("unknown; known: vae, ae, distillation, max_softmax, feature_squeezing, magnet")
	}
	return nil
}

// rebuilds reports whether the method makes other inputs of an input.
func (d *Detector) rebuilds() bool {
	return d.latent > 0 || d.o.Method == Squeezing
}

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
		needs := Needs{Q: true}
		if n, ok := s.Score.(Needy); ok {
			needs = n.Needs()
		}
		switch {
		case needs.Q && o.Method == Softmax:
			return fmt.Errorf("score %s needs a second prediction, which method %s has not", s.Name, o.Method)
		case needs.Rebuilt && !d.rebuilds():
			return fmt.Errorf("score %s needs reconstructions, which method %s has not", s.Name, o.Method)
		case needs.Hidden && len(o.Hidden) == 0:
			return fmt.Errorf("score %s needs detector.hidden_layers", s.Name)
		}
	}
	return nil
}

// consult makes the oracle, with its heads on hidden layers.
func (d *Detector) consult() (err error) {
	if len(d.o.Hidden) > 0 && !d.rebuilds() {
		return fmt.Errorf("hidden layers need reconstructions, which method %s has not", d.o.Method)
	}
	d.oracle, err = oracle.New(d.o.Classifier, d.info, d.o.Hidden)
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
