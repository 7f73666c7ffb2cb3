package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options of Run and Distill. Rows are in the classifier's shape and units.
type Options struct {
	Engine *kernel.Engine // required; not closed
	// Model is trained in place by Run, Student by Distill.
	Model   *vae.Model
	Student *vae.Student
	// Classifier is asked by losses that need it, by metrics that need it and
	// by Distill; others work without. Gradients want an sdk.Forwarder or an
	// sdk.Differentiable.
	Classifier sdk.Classifier

	Train      *tensor.Tensor // (N, example…)
	Validation *tensor.Tensor // (N, example…), or nil: no validation metrics

	Loss Loss // required by Run
	// Setup are the loss's settings. X, Scale, Offset, Output and
	// HiddenWeights are filled in.
	Setup Setup
	// Beta is the weight of −½·mean(1 + logvar − μ² − exp logvar), the latent
	// term; SumLatent adds it up over the code's dimensions.
	Beta      float64
	SumLatent bool
	// Hidden are the heads on hidden layers that the loss compares.
	Hidden []oracle.Head
	// InputNoise is the deviation of Gaussian noise on the encoder's input.
	InputNoise float64
	// Harden trains against attacks on the guard itself; nil: not.
	Harden *Harden

	Optimizer nn.Optimizer // required
	Schedule  nn.Schedule  // nil: constant
	Epochs    int          // ≥ 1
	BatchSize int          // ≥ 1
	ClipNorm  float64      // of the gradient's global norm; 0: none
	ClipValue float64      // of each gradient element; 0: none
	// EarlyStopping stops when a metric no longer improves and restores the
	// best weights; nil: neither.
	EarlyStopping *EarlyStopping
	Metrics       []NamedMetric // beside loss, and kl and accuracy where the classifier is asked
	Seed          uint64        // same seed, same bits

	// Events is told of progress; nil: nobody is. It must not keep the event's
	// slices.
	Events func(Event)
	// Checkpoint is handed the state at the end of every epoch, every
	// CheckpointEvery > 0 steps, and when training is cut short; nil: never.
	// Its error ends the training.
	Checkpoint      func(*State) error
	CheckpointEvery int
	// Resume continues from a state of a training with equal options; nil:
	// from the start. Fingerprint is compared with the state's: what the
	// caller wants to be equal, such as a digest of the spec.
	Resume      *State
	Fingerprint string
}

// NamedMetric is a metric and the name under which it is reported.
type NamedMetric struct {
	Name   string
	Metric Metric
}

// EarlyStopping watches a metric.
type EarlyStopping struct {
	Monitor  string  // val_loss, val_kl, loss, …
	Patience int     // epochs without improvement after which training ends
	MinDelta float64 // smallest change that counts
	Mode     string  // min or max; "": max for accuracy and confidence, else min
}

// Harden is adversarial training of the guard: each step, an inner attack
// finds x + δ that maximises CE(M(G(x + δ)), argmax M(x)), and the loss is
// shared between x and x + δ.
type Harden struct {
	Norm  string  // linf or l2
	Eps   float64 // radius, in the input's units; ramps up over the first third
	Steps int     // of the inner attack, ¾ eps each; a single one is 1¼ eps
	// Through is what the inner attack differentiates: guard (M∘G) or
	// classifier (M).
	Through string
	Weight  float64 // share of the loss on x + δ, in [0, 1]
	// Also are further balls. Row i of a batch is attacked in ball i modulo
	// their number, the first being that of Norm and Eps, so that the guard
	// withstands each of them (Tramèr and Boneh 2019, arXiv:1904.13000, train
	// on a mean over balls).
	Also []Ball
	// Lo and Hi are the box, one number or one a feature; nil: the
	// classifier's legal range, else that of the training rows.
	Lo, Hi []float32
}

// Ball is a set of perturbations around an input.
type Ball struct {
	Norm string  // linf or l2
	Eps  float64 // radius, in the input's units
}

// balls are all balls of h, at least one.
func (h *Harden) balls() []Ball { return append([]Ball{{h.Norm, h.Eps}}, h.Also...) }

// Validate reports what Run or Distill cannot work with.
func (o *Options) Validate() error {
	switch {
	case o.Train == nil || o.Train.N() == 0:
		return fmt.Errorf("training needs rows")
	case o.Epochs < 1:
		return fmt.Errorf("train.epochs is %d, want at least 1", o.Epochs)
	case o.BatchSize < 1:
		return fmt.Errorf("train.batch_size is %d, want at least 1", o.BatchSize)
	case o.Optimizer == nil:
		return fmt.Errorf("train.optimizer is missing")
	case !(o.InputNoise >= 0) || math.IsInf(o.InputNoise, 0):
		return fmt.Errorf("train.input_noise is %v, want 0 or more", o.InputNoise)
	case o.Validation != nil && !o.Validation.Example().Equal(o.Train.Example()):
		return fmt.Errorf("validation rows are %v, training rows %v", o.Validation.Example(), o.Train.Example())
	}
	if h := o.Harden; h != nil {
		for _, ball := range h.balls() {
			switch {
			case ball.Norm != "linf" && ball.Norm != "l2":
				return fmt.Errorf("train.harden.norm is %q, want linf or l2", ball.Norm)
			case !(ball.Eps > 0) || math.IsInf(ball.Eps, 0):
				return fmt.Errorf("train.harden.eps is %v, want a number above 0", ball.Eps)
			}
		}
		switch {
		case h.Steps < 1:
			return fmt.Errorf("train.harden.steps is %d, want at least 1", h.Steps)
		case h.Through != "guard" && h.Through != "classifier":
			return fmt.Errorf("train.harden.through is %q, want guard or classifier", h.Through)
		case !(h.Weight >= 0 && h.Weight <= 1):
			return fmt.Errorf("train.harden.weight is %v, want 0 to 1", h.Weight)
		}
	}
	return nil
}

// validate checks the monitor against the metrics that there will be.
func (e *EarlyStopping) validate(train []string, validation bool) error {
	known := slices.Clone(train)
	if validation {
		for _, n := range train {
			known = append(known, "val_"+n)
		}
	}
	switch {
	case !validation && strings.HasPrefix(e.Monitor, "val_"):
		return fmt.Errorf("train.early_stopping.monitor is %s, but there are no validation rows: give data.validation", e.Monitor)
	case !slices.Contains(known, e.Monitor):
		return fmt.Errorf("train.early_stopping.monitor is %q; known: %s", e.Monitor, strings.Join(known, ", "))
	case e.Mode != "" && e.Mode != "min" && e.Mode != "max":
		return fmt.Errorf("train.early_stopping.mode is %q, want min or max", e.Mode)
	}
	return nil
}

// better reports whether value improves on best.
func (e *EarlyStopping) better(value, best float64) bool {
	largest := e.Mode == "max" || e.Mode == "" && (strings.HasSuffix(e.Monitor, "accuracy") || strings.HasSuffix(e.Monitor, "confidence"))
	if largest {
		return value > best+e.MinDelta
	}
	return value < best-e.MinDelta
}
