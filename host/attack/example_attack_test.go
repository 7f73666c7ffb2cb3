package attack_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// SignStep is an attack of one's own: one step of Eps against the sign of the
// gradient (Goodfellow et al. 2015, arXiv:1412.6572).
type SignStep struct {
	Norm string  `yaml:"norm" enum:"linf" doc:"of the ball"`
	Eps  float64 `yaml:"eps" check:"> 0" doc:"radius"`
}

// Ball implements attack.Attack.
func (s *SignStep) Ball() (attack.Norm, float64) { return attack.Norm(s.Norm), s.Eps }

// Needs implements attack.Attack.
func (*SignStep) Needs() attack.Need { return attack.NeedsGradients }

// Overshoots implements attack.Overshooting: a longer step may go too far.
func (*SignStep) Overshoots() bool { return true }

// Perturb implements attack.Attack. The runner clips to ball and box.
func (*SignStep) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	adv := x.Clone()
	s, err := attack.NewProbe(m, x.N(), o, b).Gradient(ctx, attack.All(x.N()), x)
	if err != nil {
		return nil, err
	}
	for i, d := range s.Grad.Data {
		switch {
		case d > 0:
			adv.Data[i] -= float32(b.Eps)
		case d < 0:
			adv.Data[i] += float32(b.Eps)
		}
	}
	return adv, nil
}

// larger says which of two numbers in [0, 1] is the larger one.
var larger = attacktest.Linear{W: [][]float32{{1, 0}, {0, 1}}, B: []float32{0, 0}, Lo: []float32{0}, Hi: []float32{1}}

// Of two rows, the one near the boundary is fooled: 0.15 on each side is more
// than half of the difference 0.2, and less than half of 0.8.
func ExampleRun() {
	x := tensor.From([]float32{.6, .4, .9, .1}, 2, 2)
	adv, err := attack.Run(context.Background(), larger, x, []int{0, 0}, &SignStep{Norm: "linf", Eps: .15}, attack.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for i, fooled := range adv.Success {
		fmt.Printf("%.2f -> %.2f fooled %t, %s distance %.2f\n", x.Row(i), adv.XAdv.Row(i), fooled, adv.Ball, adv.Norm[i])
	}
	// Output:
	// [0.60 0.40] -> [0.45 0.55] fooled true, linf distance 0.15
	// [0.90 0.10] -> [0.75 0.25] fooled false, linf distance 0.15
}
