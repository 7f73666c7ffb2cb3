package attacks

import (
	"context"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// JointPatch is Patch against the detector: the patch is filled so that the classifier
// is wrong, the reconstruction too, and the score low. No hardening here trains on
// patches, so it is the attack of a kind that nobody prepared for.
type JointPatch struct {
	Patch
	Rebuilt float64 `yaml:"rebuilt" check:">= 0" doc:"weight of the reconstruction's margin relative to the input's"`
	Lambda  float64 `yaml:"lambda" check:"> 0" doc:"weight of the score relative to the margin"`
}

var (
	_ attack.Adaptive = (*JointPatch)(nil)
	_ attack.Chooser  = (*JointPatch)(nil)
)

// FreshNoise implements attack.Adaptive.
func (a *JointPatch) FreshNoise() bool { return false }

// WantsFlag implements attack.Adaptive.
func (a *JointPatch) WantsFlag() bool { return false }

// Objective implements attack.Chooser.
func (a *JointPatch) Objective(g attack.Goal) (attack.Objective, error) {
	o, err := newGuardLoss(g)
	if err != nil {
		return nil, err
	}
	o.margin, o.rebuilt, o.score, o.lead = 1, a.Rebuilt, a.Lambda, 0.5
	return o, nil
}

// Perturb implements attack.Attack.
func (a *JointPatch) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	if _, ok := o.(*guardLoss); !ok {
		return nil, errNoGuard
	}
	return a.Patch.Perturb(ctx, m, x, o, b)
}
