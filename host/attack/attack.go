// Package attack makes adversarial inputs. An attack proposes; the runner
// clips to ball and box, judges success and records norm and queries.
package attack

import (
	"context"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Attack perturbs a batch. It is a component: its exported fields are its
// options, Norm and Eps among them.
type Attack interface {
	// Ball is the ball that proposals are clipped to: the options norm and
	// eps. Eps is in the input's units; +Inf: no bound, the attack looks for
	// the smallest perturbation.
	Ball() (n Norm, eps float64)
	// Needs is the least that the attack must be able to ask of a model.
	Needs() Need
	// Perturb returns proposals (n, example…) for x, which it must not
	// change. m may be a bare or a guarded classifier (detect's outputs); o is
	// what is minimised; b is the ball, box and query budget, to which
	// Probe.Affords keeps it. Rows are
	// independent: what row i gets does not depend on the batch that it is
	// in; its randomness comes from b.Rand(i, …).
	Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o Objective, b Budget) (*tensor.Tensor, error)
}

// Chooser is an Attack with an objective of its own. Others get the
// cross-entropy of the goal.
type Chooser interface {
	Objective(g Goal) (Objective, error)
}

// Restarter is an Attack that the runner repeats, with other randomness, on
// the rows on which it failed.
type Restarter interface {
	// Repeats is the number of runs, at least 1.
	Repeats() int
}

// Adaptive is an Attack on a guarded classifier rather than on the bare
// classifier: its model offers detect's outputs.
type Adaptive interface {
	Attack
	// FreshNoise reports whether the attacker does not know the detector's
	// stored noise and draws its own.
	FreshNoise() bool
	// WantsFlag reports whether success is a false alarm rather than a
	// misclassification.
	WantsFlag() bool
}

// InapplicableError is the error of an Attack that has nothing to work with on the rows at hand, though its options are
// right. The evaluation leaves it out, and says why.
type InapplicableError struct{ Reason string }

// Error implements error.
func (e *InapplicableError) Error() string { return e.Reason }

// Need is what an attack asks of a model.
type Need int

// The needs, from nothing to gradients.
const (
	NeedsNothing     Need = iota // x alone
	NeedsPredictions             // outputs, or labels alone
	NeedsGradients
)

// String names what is needed.
func (n Need) String() string {
	return [...]string{"nothing", "predictions", "gradients"}[n]
}

// Objective is a loss per row over named outputs, to be minimised.
type Objective interface {
	// Outputs are the names that Loss and Done read.
	Outputs() []string
	// Loss writes one number per row and, if grad is not nil, adds the
	// cotangents of the sum of them.
	Loss(dst []float64, outputs, grad map[string]*tensor.Tensor)
	// Done reports for each row whether the goal is reached.
	Done(dst []bool, outputs map[string]*tensor.Tensor)
	// Select is the objective of the given rows alone, in that order.
	Select(rows []int) Objective
}

// Norm is a measure of a perturbation.
type Norm string

// The norms.
const (
	Linf Norm = "linf"
	L2   Norm = "l2"
	L1   Norm = "l1"
	L0   Norm = "l0"
)

// Budget bounds an attack.
type Budget struct {
	Norm    Norm
	Eps     float64 // in the input's units; +Inf: minimal-norm attacks
	Box     Box
	Queries int // rows sent to the model per instance and run; 0: no limit
	Seed    uint64
	Rows    []uint64 // example numbers: randomness of row i is keyed by (Seed, Rows[i])

	tally *tally // of the runner, one entry per row
	legal *legal // nil: no constraints
}

// tally counts what was asked of the model for each row of a batch.
type tally struct {
	queries, gradients, zero []int64
}

// Rand is a source of random numbers for row i that depends on the seed, the
// example's number and the stage alone: not on the batch.
func (b Budget) Rand(i int, stage uint64) *rand.Rand {
	row := uint64(i)
	if b.Rows != nil {
		row = b.Rows[i]
	}
	return rand.New(rand.NewPCG(mix(b.Seed^mix(stage)), mix(row+0x9e3779b97f4a7c15)))
}

// mix is the finaliser of splitmix64: neighbouring seeds become unrelated ones.
func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}
