package attacks

import (
	"context"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// LogitMatch gives x and its reconstructions the logits of a clean example of
// another class, the nearest one (after Tramèr et al. 2020, arXiv:2002.08347).
type LogitMatch struct {
	attack.Unit
	Norm     string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps      float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps    int     `yaml:"steps" check:">= 1" doc:"gradient steps"`
	Step     float64 `yaml:"step" check:"> 0" doc:"first length of a step in units of eps; it falls to a tenth"`
	Restarts int     `yaml:"restarts" check:">= 1" doc:"runs, each on the rows where no earlier one evaded the detector"`
	Fresh    bool    `yaml:"fresh_noise" doc:"the attacker does not know the detector's noise and draws its own at each step (EOT)"`
}

var (
	_ attack.Adaptive     = (*LogitMatch)(nil)
	_ attack.Chooser      = (*LogitMatch)(nil)
	_ attack.Restarter    = (*LogitMatch)(nil)
	_ attack.Overshooting = (*LogitMatch)(nil)
)

// Ball implements attack.Attack.
func (a *LogitMatch) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *LogitMatch) Needs() attack.Need { return attack.NeedsGradients }

// FreshNoise implements attack.Adaptive.
func (a *LogitMatch) FreshNoise() bool { return a.Fresh }

// WantsFlag implements attack.Adaptive.
func (a *LogitMatch) WantsFlag() bool { return false }

// Overshoots implements attack.Overshooting: steps of a large eps are too coarse
// to match logits.
func (a *LogitMatch) Overshoots() bool { return true }

// Repeats implements attack.Restarter.
func (a *LogitMatch) Repeats() int { return a.Restarts }

// Objective implements attack.Chooser.
func (a *LogitMatch) Objective(g attack.Goal) (attack.Objective, error) {
	o, err := newGuardLoss(g)
	if err != nil {
		return nil, err
	}
	o.match = 1
	return o, nil
}

// Perturb implements attack.Attack.
func (a *LogitMatch) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	loss, ok := o.(*guardLoss)
	if !ok {
		return nil, errNoGuard
	}
	switch b.Queries { // one of them is for the outputs on x
	case 0:
	case 1:
		return x.Clone(), nil
	default:
		b.Queries--
	}
	z, err := m.Predict(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := loss.aim(z); err != nil {
		return nil, err
	}
	q := newPursuit(x, loss, b)
	err = q.run(ctx, attack.NewProbe(m, x.N(), loss, b), attack.All(x.N()), a.Steps, a.Step, 0, q.downhill(loss))
	return q.best, err
}
