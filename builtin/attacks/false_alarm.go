package attacks

import (
	"context"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// FalseAlarm makes the detector raise false alarms: it raises the score of
// inputs that stay correctly classified, so that people learn to ignore it.
type FalseAlarm struct {
	attack.Unit
	Norm  string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps   float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps int     `yaml:"steps" check:">= 1" doc:"gradient steps"`
	Step  float64 `yaml:"step" check:"> 0" doc:"first length of a step in units of eps; it falls to a tenth"`
	Fresh bool    `yaml:"fresh_noise" doc:"the attacker does not know the detector's noise and draws its own at each step (EOT)"`
}

var (
	_ attack.Adaptive = (*FalseAlarm)(nil)
	_ attack.Chooser  = (*FalseAlarm)(nil)
)

// Ball implements attack.Attack.
func (a *FalseAlarm) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *FalseAlarm) Needs() attack.Need { return attack.NeedsGradients }

// FreshNoise implements attack.Adaptive.
func (a *FalseAlarm) FreshNoise() bool { return a.Fresh }

// WantsFlag implements attack.Adaptive.
func (a *FalseAlarm) WantsFlag() bool { return true }

// Objective implements attack.Chooser: the score up, and the right class kept
// half a unit ahead as if it were a target.
func (a *FalseAlarm) Objective(g attack.Goal) (attack.Objective, error) {
	o, err := newGuardLoss(g)
	if err != nil {
		return nil, err
	}
	o.alarm, o.targeted, o.lead = true, true, 0.5
	o.margin, o.score = 10, -1
	return o, nil
}

// Perturb implements attack.Attack.
func (a *FalseAlarm) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	loss, ok := o.(*guardLoss)
	if !ok {
		return nil, errNoGuard
	}
	q := newPursuit(x, loss, b)
	err := q.run(ctx, attack.NewProbe(m, x.N(), loss, b), attack.All(x.N()), a.Steps, a.Step, 0, q.downhill(loss))
	return q.best, err
}
