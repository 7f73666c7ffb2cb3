package attacks

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// FGSM is one step along the steepest direction of the norm: the gradient's
// sign (L∞), the gradient scaled to length eps (L2), or all of eps on the
// feature with the largest gradient (L1). Goodfellow et al. 2015,
// arXiv:1412.6572.
type FGSM struct {
	attack.Unit
	Norm     string  `yaml:"norm" enum:"linf|l2|l1" doc:"norm of the ball"`
	Eps      float64 `yaml:"eps" check:">= 0" doc:"radius, in the input's units; 0 with minimal: the width of the box"`
	Minimal  bool    `yaml:"minimal" doc:"grow eps from 0 in eps_steps equal steps until the attack succeeds"`
	EpsSteps int     `yaml:"eps_steps" check:">= 1" doc:"steps of minimal"`
}

var _ attack.Overshooting = (*FGSM)(nil)

// Ball implements attack.Attack.
func (a *FGSM) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *FGSM) Needs() attack.Need { return attack.NeedsGradients }

// Overshoots implements attack.Overshooting: one step goes past a region that
// it would reach, unless eps is grown to it.
func (a *FGSM) Overshoots() bool { return !a.Minimal }

// Validate implements registry.Validator.
func (a *FGSM) Validate() error {
	if a.Minimal {
		return nil
	}
	return positive(a.Eps)
}

// Perturb implements attack.Attack.
func (a *FGSM) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	p := attack.NewProbe(m, x.N(), o, b)
	rows := attack.All(x.N())
	s, err := p.Gradient(ctx, rows, x)
	if err != nil {
		return nil, err
	}
	dir := s.Grad
	for i := range rows {
		steepest(dir.Row(i), b.Norm)
	}
	eps := b.Eps
	if math.IsInf(eps, 1) {
		eps = reach(b, x.Stride())
	}
	if !a.Minimal {
		y := x.Clone()
		for i := range rows {
			walk(y.Row(i), x.Row(i), dir.Row(i), eps)
		}
		return y, nil
	}
	return a.grow(ctx, p, x, dir, s.Done, eps, b)
}

// grow tries eps/EpsSteps, 2·eps/EpsSteps, … on the rows that still stand.
func (a *FGSM) grow(ctx context.Context, p *attack.Probe, x, dir *tensor.Tensor, done []bool, eps float64, b attack.Budget) (*tensor.Tensor, error) {
	y := x.Clone()
	var rows []int
	for i, d := range done {
		if !d && p.Affords(i, 1) {
			rows = append(rows, i)
		}
	}
	for k := 1; k <= a.EpsSteps && len(rows) > 0; k++ {
		for _, i := range rows {
			walk(y.Row(i), x.Row(i), dir.Row(i), eps*float64(k)/float64(a.EpsSteps))
			b.Project(x.Row(i), y.Row(i))
		}
		s, err := p.Loss(ctx, rows, y.Gather(rows))
		if err != nil {
			return nil, err
		}
		left := rows[:0:0]
		for j, i := range rows {
			if !s.Done[j] && p.Affords(i, 1) {
				left = append(left, i)
			}
		}
		rows = left
	}
	return y, nil
}

// reach is the size of a perturbation that crosses the whole box.
func reach(b attack.Budget, features int) float64 {
	lo, hi := make([]float32, features), make([]float32, features)
	for j := range lo {
		lo[j], hi[j] = b.Box.At(j)
	}
	return b.Norm.Distance(lo, hi)
}

// steepest replaces a gradient of what is minimised by the unit step that
// lowers it most under the norm: its negative sign, its negative direction,
// or one feature. A zero gradient stays.
func steepest(g []float32, n attack.Norm) {
	switch n {
	case attack.Linf:
		for j, v := range g {
			g[j] = -sign(v)
		}
	case attack.L2:
		if l := attack.L2.Length(g); l > 0 { // float64 has it, however short
			scale(g, -1/l)
		}
	default:
		top := 0
		for j, v := range g {
			if abs(v) > abs(g[top]) {
				top = j
			}
		}
		v := -sign(g[top])
		clear(g)
		g[top] = v
	}
}

// walk writes x + step·dir.
func walk(y, x, dir []float32, step float64) {
	for j, v := range x {
		y[j] = float32(float64(v) + float64(step*float64(dir[j])))
	}
}

func sign(v float32) float32 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

func abs(v float32) float32 { return float32(math.Abs(float64(v))) }

func scale(v []float32, s float64) {
	for j, e := range v {
		v[j] = float32(float64(e) * s)
	}
}
