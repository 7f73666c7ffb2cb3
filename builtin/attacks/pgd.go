package attacks

import (
	"context"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// PGD is projected gradient descent: Steps steps of Step·eps along the
// gradient's sign (L∞) or direction (L2), each projected onto ball and box
// (Madry et al. 2018, arXiv:1706.06083). Of all iterates it keeps the one of
// lowest loss among those that succeed, else of lowest loss. Without
// RandomStart it is the basic iterative method (arXiv:1607.02533).
type PGD struct {
	attack.Unit
	Norm        string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps         float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps       int     `yaml:"steps" check:">= 0" doc:"gradient steps; 0: 40 for linf, 50 for l2"`
	Step        float64 `yaml:"step" check:">= 0" doc:"length of a step in units of eps; 0: 1/30 for linf, 1/40 for l2"`
	RandomStart bool    `yaml:"random_start" doc:"begin at a random point of the ball"`
	Restarts    int     `yaml:"restarts" check:">= 1" doc:"runs, each from another start on the rows where no earlier one succeeded"`
	EarlyStop   bool    `yaml:"early_stop" doc:"stop at a row as soon as the attack succeeds: fewer queries, weaker examples"`
}

var (
	_ attack.Iterated  = (*PGD)(nil)
	_ attack.Restarter = (*PGD)(nil)
)

// Ball implements attack.Attack.
func (a *PGD) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *PGD) Needs() attack.Need { return attack.NeedsGradients }

// Iterated implements attack.Iterated.
func (a *PGD) Iterated() bool { return true }

// Repeats implements attack.Restarter.
func (a *PGD) Repeats() int { return a.Restarts }

// Validate implements registry.Validator.
func (a *PGD) Validate() error {
	if a.Restarts > 1 && !a.RandomStart {
		return fmt.Errorf("restarts without random_start repeat the same run")
	}
	return nil
}

// Perturb implements attack.Attack.
func (a *PGD) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	steps, step := schedule(a.Steps, a.Step, b.Norm)
	eps := b.Eps
	if math.IsInf(eps, 1) {
		eps = reach(b, x.Stride())
	}
	y := x.Clone()
	if a.RandomStart {
		for i := range x.N() {
			randomStart(y.Row(i), x.Row(i), eps, b, i)
		}
	}
	best := newKeeper(y)
	p := attack.NewProbe(m, x.N(), o, b)
	rows := attack.All(x.N())
	for k := 0; k < steps && len(rows) > 0; k++ {
		s, err := p.Gradient(ctx, rows, y.Gather(rows))
		if err != nil {
			return nil, err
		}
		left := rows[:0:0]
		for j, i := range rows {
			best.offer(i, y.Row(i), s.Loss[j], s.Done[j])
			if (a.EarlyStop && s.Done[j]) || !p.Affords(i, 1) {
				continue
			}
			left = append(left, i)
			steepest(s.Grad.Row(j), b.Norm)
			walk(y.Row(i), y.Row(i), s.Grad.Row(j), step*eps)
			b.Project(x.Row(i), y.Row(i))
		}
		rows = left
	}
	if len(rows) == 0 {
		return best.x, nil
	}
	s, err := p.Loss(ctx, rows, y.Gather(rows))
	if err != nil {
		return nil, err
	}
	for j, i := range rows {
		best.offer(i, y.Row(i), s.Loss[j], s.Done[j])
	}
	return best.x, nil
}

// schedule fills in the defaults of steps and step (in units of eps): those
// of Foolbox 3.
func schedule(steps int, step float64, n attack.Norm) (int, float64) {
	if steps == 0 {
		steps = 40
		if n == attack.L2 {
			steps = 50
		}
	}
	if step == 0 {
		step = 1. / 30
		if n == attack.L2 {
			step = 1. / 40
		}
	}
	return steps, step
}

// randomStart writes a uniform point of the cube (L∞) or of the ball (L2)
// around x, inside the box.
func randomStart(y, x []float32, eps float64, b attack.Budget, row int) {
	r := b.Rand(row, 1)
	d := make([]float32, len(x))
	step := eps
	if b.Norm == attack.L2 {
		for j := range d {
			d[j] = float32(r.NormFloat64())
		}
		step = eps * math.Pow(r.Float64(), 1/float64(len(x))) / max(attack.L2.Length(d), 1e-30)
	} else {
		for j := range d {
			d[j] = float32(2*r.Float64() - 1)
		}
	}
	walk(y, x, d, step)
	b.Project(x, y)
}

// keeper remembers for each row the best candidate seen: one that succeeds
// before one that does not, then the lowest loss, the later of equals.
type keeper struct {
	x    *tensor.Tensor
	loss []float64
	done []bool
}

func newKeeper(x *tensor.Tensor) *keeper {
	k := &keeper{x.Clone(), make([]float64, x.N()), make([]bool, x.N())}
	for i := range k.loss {
		k.loss[i] = math.Inf(1)
	}
	return k
}

func (k *keeper) offer(i int, x []float32, loss float64, done bool) {
	if k.done[i] && !done {
		return
	}
	if (done && !k.done[i]) || loss <= k.loss[i] {
		copy(k.x.Row(i), x)
		k.loss[i], k.done[i] = loss, done
	}
}
