package main

import (
	"context"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Brightness shifts all features of an example by the same amount, the one of
// Steps amounts between −eps and eps that is worst for the classifier. It needs
// predictions alone. The exported fields are the attack's keys in YAML.
type Brightness struct {
	attack.Unit
	Norm  string  `yaml:"norm" enum:"linf" doc:"norm of the ball: a shift is bounded by its size"`
	Eps   float64 `yaml:"eps" check:"> 0" doc:"largest shift, in the input's units"`
	Steps int     `yaml:"steps" check:">= 2" doc:"amounts that are tried, evenly spread over [−eps, eps]"`
}

var (
	_ attack.Iterated = Brightness{}
	_ attack.Counted  = Brightness{}
)

// Ball implements attack.Attack.
func (a Brightness) Ball() (attack.Norm, float64) { return attack.Norm(a.Norm), a.Eps }

// Needs implements attack.Attack.
func (a Brightness) Needs() attack.Need { return attack.NeedsPredictions }

// Iterated implements attack.Iterated: it tries amount after amount, and larger
// ones are worse. So the report has a security curve of the attack, and warns
// where noise of the same eps succeeds more often.
func (a Brightness) Iterated() bool { return true }

// MaxQueries implements attack.Counted: each amount is tried once.
func (a Brightness) MaxQueries() int { return a.Steps }

// Perturb implements attack.Attack. The runner clips what is proposed to ball
// and legal range; what is tried is clipped by the same rule, so that the
// verdict is the runner's.
func (a Brightness) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	probe := attack.NewProbe(m, x.N(), o, b)
	worst := x.Clone()
	least := make([]float64, x.N()) // the objective is minimised
	for i := range least {
		least[i] = math.Inf(1)
	}
	for k := range a.Steps {
		shift := float32(b.Eps * (2*float64(k)/float64(a.Steps-1) - 1))
		rows := slices.DeleteFunc(attack.All(x.N()), func(i int) bool { return !probe.Affords(i, 1) })
		if len(rows) == 0 {
			break
		}
		y := x.Gather(rows)
		for j := range y.Data {
			y.Data[j] += shift
		}
		for n, i := range rows {
			b.Project(x.Row(i), y.Row(n))
		}
		s, err := probe.Loss(ctx, rows, y)
		if err != nil {
			return nil, err
		}
		for n, i := range rows {
			if s.Loss[n] < least[i] {
				least[i] = s.Loss[n]
				copy(worst.Row(i), y.Row(n))
			}
		}
	}
	return worst, nil
}
