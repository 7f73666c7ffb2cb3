// Package train fits the detector's network: the loop with its events, metrics,
// early stopping and checkpoints, hardened training, and the distillation of a
// student. The classifier stays untouched; its predictions on the training
// rows are computed once.
package train

import (
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Loss is a loss as written in YAML: options without data.
type Loss interface {
	// Make fits what the loss takes from the training rows, such as their
	// covariance. The error names the option at fault.
	Make(s Setup) (Objective, error)
}

// Setup is what losses and metrics know before the first step.
type Setup struct {
	// X are the training rows, in the input's units. Going over them may read
	// files: once or twice is fine, once a step is not.
	X dataset.Examples
	// Scale and Offset make the model's units, (x − Offset)/Scale, one number a
	// feature; nil: the input's own units.
	Scale, Offset []float32
	// Output says what P and Q hold.
	Output sdk.OutputKind
	// Temperature sharpens P alone: P^(1/T). 0 means 1.
	Temperature float64
	// Clip is the floor of probabilities; 0: exact.
	Clip float64
	// Recon is the form of the reconstruction term: elbo (also "") or mse.
	Recon string
	// SumELBO adds the ELBO up over the batch instead of taking its mean.
	SumELBO bool
	// HiddenWeights are the factors of the hidden layers' terms.
	HiddenWeights []float64

	plain *Divergence // of KL, for the training's own goroutine
}

// KL is KL(P ‖ Q) between the classifier's outputs, without temperature or
// clip: what metrics report. A training's metrics share one.
func (s Setup) KL() *Divergence {
	if s.plain != nil {
		return s.plain
	}
	return NewDivergence(s.Output, 1, 0)
}

// Objective is a fitted loss. It belongs to one goroutine.
type Objective interface {
	// UsesClassifier reports whether Loss reads P and Q.
	UsesClassifier() bool
	// Loss is the loss of a step. Where the step has cotangents it adds the
	// loss's gradient to them.
	Loss(s *Step) float64
}

// Step is the evidence of one batch of n rows.
type Step struct {
	X, Rebuilt *tensor.Tensor // (n, example…), in the input's units
	// UnitX and UnitRebuilt are the same in the model's units: X and Rebuilt
	// themselves without vae.normalize.
	UnitX, UnitRebuilt *tensor.Tensor
	// P and Q are the classifier's outputs on X and on Rebuilt, (n, classes),
	// of the kind that Setup.Output says; nil if the objective does not use
	// the classifier.
	P, Q *tensor.Tensor
	// HiddenP and HiddenQ are logits of the heads on hidden layers, (n, units).
	HiddenP, HiddenQ []*tensor.Tensor
	// Weights are the rows' shares of the batch, of sum 1 without class_weight;
	// nil: 1/n each.
	Weights []float64
	// Count is the number of examples, where it is not n: in hardened training
	// an example has two rows. 0: n.
	Count int

	// Cotangents, zeroed by the caller; all nil: the value alone is wanted.
	DUnitRebuilt *tensor.Tensor
	DQ           *tensor.Tensor
	DHiddenQ     []*tensor.Tensor

	// Underflows counts rows in which Q was 0 where P was not, which bounds
	// the gradient wrongly. Losses add to it.
	Underflows int
}

// N is the number of rows.
func (s *Step) N() int { return s.X.N() }

// Weight is row i's share of the batch.
func (s *Step) Weight(i int) float64 {
	if s.Weights == nil {
		return 1 / float64(s.N())
	}
	return s.Weights[i]
}

// Examples is the number of examples of the rows.
func (s *Step) Examples() int {
	if s.Count == 0 {
		return s.N()
	}
	return s.Count
}
