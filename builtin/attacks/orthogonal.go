package attacks

import (
	"context"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Orthogonal follows one goal at a time: the classifier while it is right,
// the detector once it is wrong. Orthogonally, each step leaves out the part
// of its gradient along the other goal's, so that neither undoes the other;
// selectively (Keep), it does not (Bryniarski et al. 2021, arXiv:2106.15023).
type Orthogonal struct {
	attack.Unit
	Norm     string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps      float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps    int     `yaml:"steps" check:">= 1" doc:"gradient steps"`
	Step     float64 `yaml:"step" check:"> 0" doc:"first length of a step in units of eps; it falls to a tenth"`
	Restarts int     `yaml:"restarts" check:">= 1" doc:"runs, each on the rows where no earlier one evaded the detector"`
	Fresh    bool    `yaml:"fresh_noise" doc:"the attacker does not know the detector's noise and draws its own at each step (EOT)"`
	Keep     bool    `yaml:"selective" doc:"do not orthogonalise the gradients"`
}

var (
	_ attack.Adaptive  = (*Orthogonal)(nil)
	_ attack.Chooser   = (*Orthogonal)(nil)
	_ attack.Restarter = (*Orthogonal)(nil)
)

// Ball implements attack.Attack.
func (a *Orthogonal) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *Orthogonal) Needs() attack.Need { return attack.NeedsGradients }

// FreshNoise implements attack.Adaptive.
func (a *Orthogonal) FreshNoise() bool { return a.Fresh }

// WantsFlag implements attack.Adaptive.
func (a *Orthogonal) WantsFlag() bool { return false }

// Repeats implements attack.Restarter.
func (a *Orthogonal) Repeats() int { return a.Restarts }

// Objective implements attack.Chooser.
func (a *Orthogonal) Objective(g attack.Goal) (attack.Objective, error) {
	o, err := newGuardLoss(g)
	if err != nil {
		return nil, err
	}
	o.margin, o.score = 1, 1
	return o, nil
}

// Perturb implements attack.Attack.
func (a *Orthogonal) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	loss, ok := o.(*guardLoss)
	if !ok {
		return nil, errNoGuard
	}
	q := newPursuit(x, loss, b)
	class, score := *loss, *loss
	class.score, score.margin = 0, 0
	err := q.run(ctx, attack.NewProbe(m, x.N(), loss, b), attack.All(x.N()), a.Steps, a.Step, 0,
		func(ctx context.Context, p *attack.Probe, rows []int, s attack.Sample) (*tensor.Tensor, error) {
			gc, err := q.downhill(&class)(ctx, p, rows, s)
			if err != nil {
				return nil, err
			}
			gd, err := q.downhill(&score)(ctx, p, rows, s)
			if err != nil {
				return nil, err
			}
			z := s.Outputs[sdk.Output]
			for k, i := range rows {
				c, d := gc.Row(k), gd.Row(k)
				if loss.wrong(z.Row(k), i) && loss.gap(z.Row(k), nil, loss.labels[i], 0, -loss.lead) < -0.05 {
					c, d = d, c
				}
				if !a.Keep {
					without(c, d)
				}
				copy(gc.Row(k), c)
			}
			return gc, nil
		})
	return q.best, err
}

// without takes from g its part along h.
func without(g, h []float32) {
	gh, hh := 0.0, 1e-30
	for j, v := range h {
		gh += float64(v) * float64(g[j])
		hh += float64(v) * float64(v)
	}
	for j, v := range h {
		g[j] -= float32(gh / hh * float64(v))
	}
}
