package attacktest_test

import (
	"context"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Uniform draws a point of the ball around each row, and looks at nothing.
type Uniform struct {
	Norm string  `yaml:"norm" enum:"linf|l2" doc:"of the ball"`
	Eps  float64 `yaml:"eps" check:"> 0" doc:"radius"`
}

func (u *Uniform) Ball() (attack.Norm, float64) { return attack.Norm(u.Norm), u.Eps }
func (*Uniform) Needs() attack.Need             { return attack.NeedsNothing }
func (*Uniform) Control() bool                  { return true }

func (*Uniform) Perturb(_ context.Context, _ sdk.Forwarder, x *tensor.Tensor, _ attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	adv := x.Clone()
	for i := range x.N() {
		r := b.Rand(i, 0)
		for j := range adv.Row(i) {
			adv.Row(i)[j] += float32(b.Eps * (2*r.Float64() - 1))
		}
	}
	return adv, nil
}

// The whole test of an attack, in each ball that its option norm allows.
func ExampleRunAll() {
	var t *testing.T // what go test hands to TestConformance
	attacktest.RunAll(t, &Uniform{Norm: "linf", Eps: .1}, attack.Options{Seed: 1})
}
