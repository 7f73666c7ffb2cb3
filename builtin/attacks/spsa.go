package attacks

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// SPSA estimates the gradient from predictions at random corners around x and
// descends with Adam (Uesato et al. 2018, arXiv:1802.05666). It costs
// 2·Samples + 1 predictions per step.
type SPSA struct {
	attack.Unit
	Norm         string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps          float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps        int     `yaml:"steps" check:">= 1" doc:"steps of Adam"`
	Samples      int     `yaml:"samples" check:">= 1" doc:"pairs of predictions per step"`
	Delta        float64 `yaml:"delta" check:"> 0" doc:"size of the random changes, in widths of the box"`
	LearningRate float64 `yaml:"learning_rate" check:"> 0" doc:"learning rate of Adam, in units of eps"`
}

var (
	_ attack.Attack  = (*SPSA)(nil)
	_ attack.Chooser = (*SPSA)(nil)
)

// Ball implements attack.Attack.
func (a *SPSA) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *SPSA) Needs() attack.Need { return attack.NeedsPredictions }

// Objective implements attack.Chooser.
func (a *SPSA) Objective(g attack.Goal) (attack.Objective, error) { return g.Margin(0), nil }

// Perturb implements attack.Attack.
func (a *SPSA) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	p := attack.NewProbe(m, x.N(), o, b)
	if math.IsInf(b.Eps, 1) {
		b.Eps = reach(b, x.Stride())
	}
	y := x.Clone()
	for i := range x.N() { // one row at a time: its samples are the batch
		if err := a.row(ctx, p, x.Row(i), y.Row(i), x.Example(), i, b); err != nil {
			return nil, err
		}
	}
	return y, nil
}

func (a *SPSA) row(ctx context.Context, p *attack.Probe, x, y []float32, shape tensor.Shape, i int, b attack.Budget) error {
	r := b.Rand(i, 3)
	d := len(x)
	mom, vel, g := make([]float64, d), make([]float64, d), make([]float64, d)
	batch := tensor.Batch(2*a.Samples, shape)
	same := make([]int, 2*a.Samples)
	for k := range same {
		same[k] = i
	}
	one := tensor.From(y, append([]int{1}, shape...)...)
	for step := 1; step <= a.Steps; step++ {
		s, err := p.Loss(ctx, []int{i}, one)
		if err != nil {
			return err
		}
		if s.Done[0] || !p.Affords(i, 2*a.Samples+1) {
			return nil
		}
		for k := range a.Samples {
			up, down := batch.Row(2*k), batch.Row(2*k+1)
			for j, v := range y {
				lo, hi := b.Box.At(j)
				h := float32(a.Delta*coin(r)) * (hi - lo)
				up[j], down[j] = v+h, v-h
			}
			b.Box.Clip(up)
			b.Box.Clip(down)
		}
		if s, err = p.Loss(ctx, same, batch); err != nil {
			return err
		}
		clear(g)
		for k := range a.Samples {
			diff := s.Loss[2*k] - s.Loss[2*k+1]
			up, down := batch.Row(2*k), batch.Row(2*k+1)
			for j := range g {
				if h := float64(up[j]) - float64(down[j]); h != 0 {
					g[j] += diff / h
				}
			}
		}
		b1, b2 := 1-math.Pow(0.9, float64(step)), 1-math.Pow(0.999, float64(step))
		for j, v := range g {
			mom[j] = 0.9*mom[j] + 0.1*v
			vel[j] = 0.999*vel[j] + 0.001*v*v
			y[j] -= float32(a.LearningRate * b.Eps * (mom[j] / b1) / (math.Sqrt(vel[j]/b2) + 1e-12))
		}
		b.Project(x, y)
	}
	return nil
}
