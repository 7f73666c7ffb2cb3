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
// options.
type Attack interface {
	// Perturb returns proposals (n, example…) for x. m may be a bare
	// classifier or a guard (detect's outputs); o is what is minimised; b is
	// the ball, box and query budget. Rows are independent: what row i gets
	// does not depend on the batch that it is in.
	Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o Objective, b Budget, r *rand.Rand) (*tensor.Tensor, error)
}

// Objective is a loss per row over named outputs, to be minimised.
type Objective interface {
	// Outputs are the names that Loss reads.
	Outputs() []string
	// Loss writes one number per row and, if grad is not nil, adds the
	// cotangents of the sum of them.
	Loss(dst []float64, outputs, grad map[string]*tensor.Tensor)
	// Done reports for each row whether the goal is reached.
	Done(dst []bool, outputs map[string]*tensor.Tensor)
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
	Eps     float64   // in the input's units; +Inf: minimal-norm attacks
	Lo, Hi  []float32 // the box: one number, or one per feature
	Queries int       // rows sent to the model per instance; 0: no limit
	Seed    uint64
	Rows    []uint64 // example numbers: randomness of row i is keyed by (Seed, Rows[i])
}
