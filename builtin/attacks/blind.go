package attacks

import (
	"context"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Blind is Square against the detector from outputs and scores alone. Where it
// gets further than the attacks that follow gradients, those are masked, and
// what they say does not count.
type Blind struct {
	attack.Unit
	Norm    string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps     float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Queries int     `yaml:"queries" check:">= 1" doc:"predictions and scores per instance"`
	PInit   float64 `yaml:"p_init" check:"> 0, <= 1" doc:"fraction of the features that the first patches change"`
	Lambda  float64 `yaml:"lambda" check:"> 0" doc:"weight of the score relative to the margin"`
}

var (
	_ attack.Adaptive = (*Blind)(nil)
	_ attack.Chooser  = (*Blind)(nil)
	_ attack.Counted  = (*Blind)(nil)
)

// Ball implements attack.Attack.
func (a *Blind) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *Blind) Needs() attack.Need { return attack.NeedsPredictions }

// FreshNoise implements attack.Adaptive.
func (a *Blind) FreshNoise() bool { return false }

// WantsFlag implements attack.Adaptive.
func (a *Blind) WantsFlag() bool { return false }

// MaxQueries implements attack.Counted: x itself, and Queries patches.
func (a *Blind) MaxQueries() int { return a.Queries + 1 }

// Objective implements attack.Chooser.
func (a *Blind) Objective(g attack.Goal) (attack.Objective, error) {
	o, err := newGuardLoss(g)
	if err != nil {
		return nil, err
	}
	o.margin, o.score, o.lead = 1, a.Lambda, 0.5
	return o, nil
}

// Perturb implements attack.Attack.
func (a *Blind) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	if _, ok := o.(*guardLoss); !ok {
		return nil, errNoGuard
	}
	s := Square{Norm: a.Norm, Eps: a.Eps, Queries: a.Queries, PInit: a.PInit}
	return s.Perturb(ctx, m, x, o, b)
}
