package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options of Run and Distill: the section, and what it works on. Rows are in
// the classifier's shape and units. Run requires Loss and Optimizer.
type Options struct {
	Section

	Engine *kernel.Engine // required, of the section's Precision; not closed
	// Model is trained in place by Run, Student by Distill.
	Model   *vae.Model
	Student *vae.Student
	// Classifier is asked by losses that need it, by metrics that need it and
	// by Distill; others work without. Gradients want an sdk.Forwarder or an
	// sdk.Differentiable.
	Classifier sdk.Classifier

	// Train are the rows, in memory or in files: the bits are the same. The next
	// batch is read while one is worked on. A row that cannot be read ends the
	// training as an error of the classifier does.
	Train      dataset.Examples
	Validation *tensor.Tensor // (N, example…), or nil: no validation metrics

	// Setup are the loss's settings: temperature and clip. The others are
	// filled in.
	Setup Setup
	// Beta is the weight of −½·mean(1 + logvar − μ² − exp logvar), the latent
	// term; latent_reduction sum adds it up over the code's dimensions.
	Beta float64
	// Smooth makes input_noise part of what is trained, as a guard that votes over
	// noisy copies needs it: the validation rows have it too, the same in each epoch,
	// and the inner attack of hardening goes through it (SmoothAdv: Salman et al. 2019,
	// arXiv:1906.04584, with one draw), with the very noise that the step then
	// trains on.
	Smooth bool
	// Judge is how the guard will flag rows, by which hardened training measures how
	// robust it is; nil: by KL(P ‖ Q) or, with Smooth, by votes, at 5 % false alarms.
	Judge Judge
	// JudgeName stands for how Judge flags rows: a training in the middle is not resumed with
	// another one, since val_robust of its epochs would not compare. "": it is not looked at.
	JudgeName string
	// Hidden are the heads on hidden layers that the loss compares.
	Hidden []oracle.Head
	// ClassNames are what class_weight may call the classes; nil: those that the
	// classifier declares.
	ClassNames []string
	Metrics    []NamedMetric // besides loss and log_metrics, and kl and accuracy where the classifier is asked
	Seed       uint64        // same seed, same bits
	// InTurns keeps host and classifier from working at the same time: the same bits,
	// later. It is for measuring what working at the same time saves.
	InTurns bool

	// Events receives progress; nil: none. It must not keep the event's
	// slices.
	Events func(Event)
	// Save is handed the state at the end of every epoch, every
	// checkpoint.every > 0 steps, and when training is cut short; nil: never.
	// Its error ends the training.
	Save func(*State) error
	// Resume continues from a state of a training with equal options; nil:
	// from the start. Fingerprint is compared with the state's: what the
	// caller wants to be equal, such as a digest of the spec.
	Resume      *State
	Fingerprint string
}

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
	case o.Engine != nil && o.Engine.Precision() != cmp.Or(o.Precision, kernel.Float32):
		return fmt.Errorf("train.precision is %s, and the engine's %s", cmp.Or(o.Precision, kernel.Float32), o.Engine.Precision())
	case !(o.InputNoise >= 0) || math.IsInf(o.InputNoise, 0):
		return fmt.Errorf("train.input_noise is %v, want 0 or more", o.InputNoise)
	case o.Validation != nil && !o.Validation.Example().Equal(o.Train.Example()):
		return fmt.Errorf("validation rows are %v, training rows %v", o.Validation.Example(), o.Train.Example())
	}
	if o.ClassWeight.given() && o.Classifier == nil {
		return fmt.Errorf("train.class_weight goes by the classes that a classifier predicts, and there is none")
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
		case h.Robust.Rows < 0 || h.Robust.Steps < 0 || h.Robust.Every < 0:
			return fmt.Errorf("train.harden.robust is %d rows and %d steps every %d epochs, want 0 or more", h.Robust.Rows, h.Robust.Steps, h.Robust.Every)
		case h.Keep != "" && h.Keep != "robust" && h.Keep != "last":
			return fmt.Errorf("train.harden.keep is %q, want robust or last", h.Keep)
		case !(h.Weight >= 0 && h.Weight <= 1):
			return fmt.Errorf("train.harden.weight is %v, want 0 to 1", h.Weight)
		}
	}
	return nil
}

// validate checks the monitor against the metrics that there will be.
func (e *EarlyStopping) validate(known []string, validation bool) error {
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

// gain reports whether what is watched is a Gain.
func (e *EarlyStopping) gain(metrics []NamedMetric) bool {
	for _, m := range metrics {
		if g, ok := m.Metric.(Gain); ok && m.Name == strings.TrimPrefix(e.Monitor, "val_") {
			return g.LargerIsBetter()
		}
	}
	return false
}

// better reports whether value improves on best.
func (e *EarlyStopping) better(value, best float64, metrics []NamedMetric) bool {
	if e.Mode == "max" || e.Mode == "" && (e.Monitor == NameRobust || e.gain(metrics)) {
		return value > best+e.MinDelta
	}
	return value < best-e.MinDelta
}
