package attacks

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Boundary needs labels alone: it walks on the far side of the decision
// boundary at random, sideways on the sphere around x and then inwards
// (Brendel et al. 2018, arXiv:1712.04248). Step sizes follow the share of
// steps that stay on the far side, as in Foolbox 3.
type Boundary struct {
	attack.Unit
	Norm          string  `yaml:"norm" enum:"l2" doc:"norm of the ball"`
	Eps           float64 `yaml:"eps" check:">= 0" doc:"radius, in the input's units; 0: the smallest perturbation, however large"`
	Steps         int     `yaml:"steps" check:">= 1" doc:"steps of the walk, one label each"`
	SphericalStep float64 `yaml:"spherical_step" check:"> 0" doc:"first sideways step, in units of the distance"`
	SourceStep    float64 `yaml:"source_step" check:"> 0" doc:"first inward step, in units of the distance"`
}

var (
	_ attack.Attack  = (*Boundary)(nil)
	_ attack.Chooser = (*Boundary)(nil)
)

// Ball implements attack.Attack.
func (a *Boundary) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *Boundary) Needs() attack.Need { return attack.NeedsPredictions }

// Objective implements attack.Chooser.
func (a *Boundary) Objective(g attack.Goal) (attack.Objective, error) { return labelsOnly(g) }

// walker is the state of one row.
type walker struct {
	r                 *rand.Rand
	spherical, source float64
	sideways, inward  []bool // latest outcomes
	side              []float32
}

// Perturb implements attack.Attack.
func (a *Boundary) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	n := x.N()
	y := x.Clone()
	p := attack.NewProbe(m, n, o, b)
	state := make([]walker, n)
	var rows []int
	for i := range n {
		d := decider{p, i, x.Example()}
		ok, err := d.fooled(ctx, x.Row(i))
		if err != nil {
			return nil, err
		}
		if ok[0] {
			continue
		}
		at, err := d.start(ctx, x.Row(i), b, 100)
		if err != nil {
			return nil, err
		}
		if at == nil {
			continue
		}
		if at, err = d.bisect(ctx, x.Row(i), at, attack.L2, 1e-3); err != nil {
			return nil, err
		}
		copy(y.Row(i), at)
		state[i] = walker{r: b.Rand(i, 5), spherical: a.SphericalStep, source: a.SourceStep, side: make([]float32, x.Stride())}
		if p.Affords(i, 2) { // a step, and every tenth time a look sideways
			rows = append(rows, i)
		}
	}
	next := y.Clone()
	for step := 1; step <= a.Steps && len(rows) > 0; step++ {
		for _, i := range rows {
			state[i].propose(next.Row(i), y.Row(i), x.Row(i), b)
		}
		s, err := p.Loss(ctx, rows, next.Gather(rows))
		if err != nil {
			return nil, err
		}
		if step%10 == 0 {
			if err := a.adapt(ctx, p, x, rows, state, s.Done); err != nil {
				return nil, err
			}
		}
		var left []int
		for k, i := range rows {
			if s.Done[k] && attack.L2.Distance(x.Row(i), next.Row(i)) < attack.L2.Distance(x.Row(i), y.Row(i)) {
				copy(y.Row(i), next.Row(i))
			}
			if state[i].source > 1e-7 && p.Affords(i, 2) {
				left = append(left, i)
			}
		}
		rows = left
	}
	return y, nil
}

// propose draws a step orthogonal to the line to x, goes back onto the sphere
// and then inwards.
func (w *walker) propose(next, y, x []float32, b attack.Budget) {
	dist := attack.L2.Distance(x, y)
	eta, line := make([]float64, len(x)), 0.0
	for j := range eta {
		eta[j] = w.r.NormFloat64()
		line += eta[j] * (float64(x[j]) - float64(y[j])) / max(dist, 1e-30)
	}
	size := 0.0
	for j := range eta {
		eta[j] -= line * (float64(x[j]) - float64(y[j])) / max(dist, 1e-30)
		size += eta[j] * eta[j]
	}
	size = max(math.Sqrt(size), 1e-30)
	shrink := 1 / math.Sqrt(1+w.spherical*w.spherical)
	for j, v := range x {
		d := float64(y[j]) - float64(v) + eta[j]*w.spherical*dist/size
		w.side[j] = float32(float64(v) + shrink*d)
	}
	b.Box.Clip(w.side)
	now := attack.L2.Distance(x, w.side)
	length := max(w.source*dist+now-dist, 0) / max(now, 1e-30)
	for j, v := range w.side {
		next[j] = float32(float64(v) + length*(float64(x[j])-float64(v)))
	}
	b.Box.Clip(next)
}

// adapt lengthens steps of which more than half stay on the far side and
// shortens those of which less than a fifth do.
func (a *Boundary) adapt(ctx context.Context, p *attack.Probe, x *tensor.Tensor, rows []int, state []walker, inward []bool) error {
	side := tensor.Batch(len(rows), x.Example())
	for k, i := range rows {
		copy(side.Row(k), state[i].side)
	}
	s, err := p.Loss(ctx, rows, side)
	if err != nil {
		return err
	}
	for k, i := range rows {
		w := &state[i]
		w.sideways = append(w.sideways, s.Done[k])
		if s.Done[k] {
			w.inward = append(w.inward, inward[k])
		}
		if len(w.sideways) >= 10 {
			w.spherical *= pace(w.sideways, 0.5, 0.2)
			w.source *= pace(w.sideways, 0.5, 0.2)
			w.sideways = w.sideways[:0]
		}
		if len(w.inward) >= 6 {
			w.source *= pace(w.inward, 0.25, 0.1)
			w.inward = w.inward[:0]
		}
	}
	return nil
}

func pace(outcomes []bool, high, low float64) float64 {
	n := 0.0
	for _, ok := range outcomes {
		if ok {
			n++
		}
	}
	switch n /= float64(len(outcomes)); {
	case n > high:
		return 1.5
	case n < low:
		return 1 / 1.5
	}
	return 1
}
