package attacks

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Noise is one draw of random noise, scaled to norm eps: what an attack achieves
// beyond noise of its own size is its own merit. Uniform noise under linf is not
// scaled: it lies in [−eps, eps] already.
type Noise struct {
	attack.Unit
	Norm         string  `yaml:"norm" enum:"linf|l2|l1" doc:"norm of the ball"`
	Eps          float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Distribution string  `yaml:"distribution" enum:"uniform|gaussian" doc:"distribution of the noise before scaling"`
}

var _ attack.Control = (*Noise)(nil)

// Ball implements attack.Attack.
func (a *Noise) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *Noise) Needs() attack.Need { return attack.NeedsNothing }

// Control implements attack.Control.
func (a *Noise) Control() bool { return true }

// Perturb implements attack.Attack.
func (a *Noise) Perturb(_ context.Context, _ sdk.Forwarder, x *tensor.Tensor, _ attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	eps := b.Eps
	if math.IsInf(eps, 1) {
		eps = reach(b, x.Stride())
	}
	y := x.Clone()
	d := make([]float32, x.Stride())
	for i := range x.N() {
		r := b.Rand(i, 0)
		for j := range d {
			if a.Distribution == "gaussian" {
				d[j] = float32(r.NormFloat64())
			} else {
				d[j] = float32(2*r.Float64() - 1)
			}
		}
		step := eps
		if b.Norm != attack.Linf || a.Distribution == "gaussian" {
			step = eps / max(b.Norm.Length(d), 1e-30)
		}
		walk(y.Row(i), x.Row(i), d, step)
	}
	return y, nil
}
