package attacks

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// HopSkipJump needs labels alone: it walks along the decision boundary, whose
// normal it estimates from labels of random neighbours (Chen et al. 2020,
// arXiv:1904.02144).
type HopSkipJump struct {
	attack.Unit
	Norm        string  `yaml:"norm" enum:"l2|linf" doc:"norm of the ball"`
	Eps         float64 `yaml:"eps" check:">= 0" doc:"radius, in the input's units; 0: the smallest perturbation, however large"`
	Steps       int     `yaml:"steps" check:">= 1" doc:"walks along the boundary"`
	Evaluations int     `yaml:"evaluations" check:">= 1" doc:"labels for the first estimate of the normal; they grow with the root of the step"`
	Queries     int     `yaml:"queries" check:">= 1" doc:"labels per instance"`
}

var (
	_ attack.Attack  = (*HopSkipJump)(nil)
	_ attack.Chooser = (*HopSkipJump)(nil)
	_ attack.Counted = (*HopSkipJump)(nil)
)

// Ball implements attack.Attack.
func (a *HopSkipJump) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *HopSkipJump) Needs() attack.Need { return attack.NeedsPredictions }

// MaxQueries implements attack.Counted.
func (a *HopSkipJump) MaxQueries() int { return a.Queries }

// Objective implements attack.Chooser.
func (a *HopSkipJump) Objective(g attack.Goal) (attack.Objective, error) { return labelsOnly(g) }

// labelsOnly is the goal of attacks that start from random inputs, which a
// target class would need to be found among.
func labelsOnly(g attack.Goal) (attack.Objective, error) {
	if g.Targeted {
		return nil, errors.New("this attack starts from noise and has no targeted form; use square")
	}
	return g.Margin(0), nil
}

// Perturb implements attack.Attack.
func (a *HopSkipJump) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	if b.Queries == 0 || b.Queries > a.Queries {
		b.Queries = a.Queries
	}
	y := x.Clone()
	p := attack.NewProbe(m, x.N(), o, b)
	for i := range x.N() {
		if err := a.row(ctx, decider{p, i, x.Example()}, x.Row(i), y.Row(i), b); err != nil {
			return nil, err
		}
	}
	return y, nil
}

func (a *HopSkipJump) row(ctx context.Context, d decider, x, out []float32, b attack.Budget) error {
	if ok, err := d.fooled(ctx, x); err != nil || ok[0] {
		return err
	}
	at, err := d.start(ctx, x, b, 100)
	if err != nil || at == nil {
		return err
	}
	dim := float64(len(x))
	theta := 1 / (math.Sqrt(dim) * dim)
	if b.Norm == attack.Linf {
		theta = 1 / (dim * dim)
	}
	if at, err = d.bisect(ctx, x, at, b.Norm, theta); err != nil {
		return err
	}
	for step := 1; step <= a.Steps && d.p.Affords(d.row, 1); step++ {
		dist := b.Norm.Distance(x, at)
		delta := math.Sqrt(dim) * theta * dist
		if b.Norm == attack.Linf {
			delta = dim * theta * dist
		}
		if step == 1 {
			delta = 0.1 * widest(b.Box, len(x))
		}
		if delta == 0 {
			break // x itself lies on the boundary
		}
		evals := min(int(float64(a.Evaluations)*math.Sqrt(float64(step))), 10000)
		if b.Queries > 0 {
			evals = min(evals, b.Queries-d.p.Spent(d.row))
		}
		if evals < 1 {
			break
		}
		normal, err := a.normal(ctx, d, at, delta, evals, b, uint64(step))
		if err != nil {
			return err
		}
		// Geometric search for a step that stays on the far side.
		length := dist / math.Sqrt(float64(step))
		next := slices.Clone(at) // which it is where the budget ends here
		for length > 1e-9*dist && d.p.Affords(d.row, 1) {
			walk(next, at, normal, length)
			b.Box.Clip(next)
			ok, err := d.fooled(ctx, next)
			if err != nil {
				return err
			}
			if ok[0] {
				break
			}
			copy(next, at)
			length /= 2
		}
		if next, err = d.bisect(ctx, x, next, b.Norm, theta); err != nil {
			return err
		}
		if b.Norm.Distance(x, next) < dist {
			at = next
		}
	}
	copy(out, at)
	return nil
}

// widest is the width of the widest feature: the first may never vary.
func widest(b attack.Box, features int) float64 {
	width := 0.
	for j := range features {
		lo, hi := b.At(j)
		width = max(width, float64(hi-lo))
	}
	return width
}

// normal is the direction into the far side, as a unit step of the norm:
// random directions weighted by whether their end lies there, the mean taken
// off.
func (a *HopSkipJump) normal(ctx context.Context, d decider, at []float32, delta float64, evals int, b attack.Budget, step uint64) ([]float32, error) {
	const most = 500
	r := b.Rand(d.row, 1000+step)
	dirs := make([][]float32, evals)
	signs := make([]float64, 0, evals)
	mean := 0.0
	for lo := 0; lo < evals; lo += most {
		hi := min(lo+most, evals)
		ends := make([][]float32, 0, hi-lo)
		for k := lo; k < hi; k++ {
			v := make([]float32, len(at))
			for j := range v {
				if b.Norm == attack.Linf {
					v[j] = float32(2*r.Float64() - 1)
				} else {
					v[j] = float32(r.NormFloat64())
				}
			}
			end := make([]float32, len(at))
			walk(end, at, v, delta/max(attack.L2.Length(v), 1e-30))
			b.Box.Clip(end)
			for j := range v {
				v[j] = float32((float64(end[j]) - float64(at[j])) / delta)
			}
			dirs[k], ends = v, append(ends, end)
		}
		ok, err := d.fooled(ctx, ends...)
		if err != nil {
			return nil, err
		}
		for _, f := range ok {
			s := -1.
			if f {
				s = 1
			}
			signs = append(signs, s)
			mean += s / float64(evals)
		}
	}
	if math.Abs(mean) > 1-1e-9 {
		mean = 0 // all on one side: their mean is the best guess
	}
	g := make([]float32, len(at))
	for k, v := range dirs {
		for j, e := range v {
			g[j] -= float32((signs[k] - mean) * float64(e) / float64(evals))
		}
	}
	steepest(g, b.Norm) // g points back; the step goes against it
	return g, nil
}
