package evaluate

import (
	"context"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// climber asks for a number of gradients of each row.
type climber struct{ steps int }

func (climber) Ball() (attack.Norm, float64) { return attack.Linf, .1 }
func (climber) Needs() attack.Need           { return attack.NeedsGradients }
func (climber) Iterated() bool               { return true }

func (c climber) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	p := attack.NewProbe(m, x.N(), o, b)
	for range c.steps {
		if _, err := p.Gradient(ctx, attack.All(x.N()), x); err != nil {
			return nil, err
		}
	}
	return x.Clone(), nil
}

// TestCostOf: rows that are attacked and those of curves cost what the attack asks of one.
func TestCostOf(t *testing.T) {
	shape := tensor.Shape{40, 30, 1}
	of := func(s Section, steps int) Cost {
		return CostOf(t.Context(), s, []NamedAttack{{Name: "climber", Attack: climber{steps}}}, 3, 100, shape, 10)
	}
	for name, c := range map[string]struct {
		section          Section
		steps            int
		judged, gradient int64
	}{
		"all rows":        {Section{CurveRows: -1}, 4, 100 + 100 + 300, 400},
		"twice the steps": {Section{CurveRows: -1}, 8, 100 + 100 + 300, 800},
		"limit":           {Section{CurveRows: -1, Limit: 10}, 4, 10 + 10 + 30, 40},
		"limit and clean": {Section{CurveRows: -1, Limit: 10, Clean: 50}, 4, 50 + 10 + 30, 40},
		"curves":          {Section{CurveRows: 20}, 4, 100 + 100 + 5*20 + 300, 400 + 5*20*4},
	} {
		got := of(c.section, c.steps)
		if got.Judged != c.judged || got.Gradients != c.gradient || got.Left != nil {
			t.Errorf("%s: %+v, want %d rows judged and %d gradients", name, got, c.judged, c.gradient)
		}
	}
}
