package attacks

import (
	"context"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Joint lowers classification margin + λ·score, for each λ in turn on the
// rows where no earlier one evaded the detector. Rebuilt adds the margin on the
// reconstruction: agreement on a wrong class is how a discrepancy stays low.
type Joint struct {
	attack.Unit
	Norm    string    `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps     float64   `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps   int       `yaml:"steps" check:">= 1" doc:"gradient steps for each λ"`
	Step    float64   `yaml:"step" check:"> 0" doc:"first length of a step in units of eps; it falls to a tenth"`
	Lambdas []float64 `yaml:"lambdas" doc:"weights of the score, tried in order"`
	Rebuilt float64   `yaml:"rebuilt" check:">= 0" doc:"weight of the margin on the reconstruction; 0: the classifier and the score alone"`
	Fresh   bool      `yaml:"fresh_noise" doc:"the attacker does not know the detector's noise and draws its own at each step (EOT)"`
}

var (
	_ attack.Adaptive = (*Joint)(nil)
	_ attack.Chooser  = (*Joint)(nil)
)

// Ball implements attack.Attack.
func (a *Joint) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *Joint) Needs() attack.Need { return attack.NeedsGradients }

// FreshNoise implements attack.Adaptive.
func (a *Joint) FreshNoise() bool { return a.Fresh }

// WantsFlag implements attack.Adaptive.
func (a *Joint) WantsFlag() bool { return false }

// Objective implements attack.Chooser.
func (a *Joint) Objective(g attack.Goal) (attack.Objective, error) {
	o, err := newGuardLoss(g)
	if err != nil {
		return nil, err
	}
	o.margin, o.rebuilt, o.score = 1, a.Rebuilt, 1
	return o, nil
}

// Perturb implements attack.Attack.
func (a *Joint) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	goal, ok := o.(*guardLoss)
	if !ok {
		return nil, errNoGuard
	}
	q := newPursuit(x, goal, b)
	for k, lambda := range a.Lambdas {
		loss := *goal
		loss.score = lambda
		p := attack.NewProbe(m, x.N(), &loss, b)
		if err := q.run(ctx, p, q.open(), a.Steps, a.Step, uint64(k), q.downhill(&loss)); err != nil {
			return nil, err
		}
	}
	return q.best, nil
}

// Transfer is Joint aimed at another detector of the same classifier, trained
// with another seed: what an attacker can do who has the recipe but not the
// weights. evaluate gives it that detector and judges by its own.
type Transfer struct {
	attack.Unit
	Norm    string    `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps     float64   `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps   int       `yaml:"steps" check:">= 1" doc:"gradient steps for each λ"`
	Step    float64   `yaml:"step" check:"> 0" doc:"first length of a step in units of eps; it falls to a tenth"`
	Lambdas []float64 `yaml:"lambdas" doc:"weights of the score, tried in order"`
}

var (
	_ attack.Transferred = (*Transfer)(nil)
	_ attack.Chooser     = (*Transfer)(nil)
)

func (a *Transfer) joint() *Joint {
	return &Joint{Norm: a.Norm, Eps: a.Eps, Steps: a.Steps, Step: a.Step, Lambdas: a.Lambdas, Rebuilt: 0.3}
}

// Ball implements attack.Attack.
func (a *Transfer) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *Transfer) Needs() attack.Need { return attack.NeedsGradients }

// FreshNoise implements attack.Adaptive.
func (a *Transfer) FreshNoise() bool { return false }

// WantsFlag implements attack.Adaptive.
func (a *Transfer) WantsFlag() bool { return false }

// Transferred implements attack.Transferred.
func (a *Transfer) Transferred() bool { return true }

// Objective implements attack.Chooser.
func (a *Transfer) Objective(g attack.Goal) (attack.Objective, error) { return a.joint().Objective(g) }

// Perturb implements attack.Attack.
func (a *Transfer) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	return a.joint().Perturb(ctx, m, x, o, b)
}
