package attacks

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// CW is the L2 attack of Carlini & Wagner 2017 (arXiv:1608.04644): Adam on w,
// x' = box(tanh w), of ‖x' − x‖² + c·max(margin, −κ), with a binary search
// for the smallest c that succeeds. Distances are in widths of the box, so
// that c means the same in any units.
type CW struct {
	attack.Unit
	Norm         string  `yaml:"norm" enum:"l2" doc:"norm of the ball"`
	Eps          float64 `yaml:"eps" check:">= 0" doc:"radius, in the input's units; 0: the smallest perturbation, however large"`
	Steps        int     `yaml:"steps" check:">= 1" doc:"steps of Adam for each c"`
	BinarySearch int     `yaml:"binary_search" check:">= 1" doc:"values of c tried"`
	LearningRate float64 `yaml:"learning_rate" check:"> 0" doc:"learning rate of Adam"`
	InitialConst float64 `yaml:"initial_const" check:"> 0" doc:"first c"`
	Confidence   float64 `yaml:"confidence" check:">= 0" doc:"κ: margin by which the wrong class must win, in logits"`
	EarlyAbort   bool    `yaml:"early_abort" doc:"abandon a c when a tenth of the steps bring no improvement"`
}

var (
	_ attack.Attack  = (*CW)(nil)
	_ attack.Chooser = (*CW)(nil)
)

// Ball implements attack.Attack.
func (a *CW) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *CW) Needs() attack.Need { return attack.NeedsGradients }

// Objective implements attack.Chooser.
func (a *CW) Objective(g attack.Goal) (attack.Objective, error) { return g.Margin(a.Confidence), nil }

// cwRow is the search state of one row.
type cwRow struct {
	c, lo, hi float64
	best      float64 // squared distance of the best success
	ok        bool    // success with this c
	w, m, v   []float64
	last      float64 // loss at the last check for progress
	mean, amp []float64
}

// Perturb implements attack.Attack.
func (a *CW) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	n, d := x.N(), x.Stride()
	width := 0.0
	mean, amp := make([]float64, d), make([]float64, d)
	for j := range d {
		lo, hi := b.Box.At(j)
		mean[j], amp[j] = (float64(lo)+float64(hi))/2, (float64(hi)-float64(lo))/2
		width = max(width, 2*amp[j])
	}
	state := make([]cwRow, n)
	for i := range state {
		state[i] = cwRow{c: a.InitialConst, hi: math.Inf(1), best: math.Inf(1), mean: mean, amp: amp, w: make([]float64, d), m: make([]float64, d), v: make([]float64, d)}
	}
	out := x.Clone()
	p := attack.NewProbe(m, n, o, b)
	s, err := p.Loss(ctx, attack.All(n), x)
	if err != nil {
		return nil, err
	}
	var rows []int
	for i, done := range s.Done {
		if !done {
			rows = append(rows, i)
		}
	}
	for range a.BinarySearch {
		if err := a.descend(ctx, p, x, out, rows, state, width); err != nil {
			return nil, err
		}
		for _, i := range rows {
			r := &state[i]
			if r.ok {
				r.hi = min(r.hi, r.c)
			} else {
				r.lo = max(r.lo, r.c)
			}
			if math.IsInf(r.hi, 1) {
				r.c *= 10
			} else {
				r.c = (r.lo + r.hi) / 2
			}
		}
	}
	return out, nil
}

// descend runs Adam with each row's c from x.
func (a *CW) descend(ctx context.Context, p *attack.Probe, x, out *tensor.Tensor, rows []int, state []cwRow, width float64) error {
	for _, i := range rows {
		state[i].start(x.Row(i))
	}
	active := affordable(p, rows)
	every := max(1, a.Steps/10)
	for step := 1; step <= a.Steps && len(active) > 0; step++ {
		y := tensor.Batch(len(active), x.Example())
		for k, i := range active {
			state[i].point(y.Row(k))
		}
		s, err := p.Gradient(ctx, active, y)
		if err != nil {
			return err
		}
		var left []int
		for k, i := range active {
			r := &state[i]
			dist := attack.L2.Distance(x.Row(i), y.Row(k)) / width
			if s.Done[k] {
				r.ok = true
				if dist*dist < r.best {
					r.best = dist * dist
					copy(out.Row(i), y.Row(k))
				}
			}
			loss := dist*dist + r.c*(s.Loss[k]+a.Confidence)
			if a.EarlyAbort && step%every == 0 {
				if loss > 0.9999*r.last {
					continue
				}
				r.last = loss
			}
			if !p.Affords(i, 1) {
				continue
			}
			r.adam(x.Row(i), y.Row(k), s.Grad.Row(k), width, a.LearningRate, step)
			left = append(left, i)
		}
		active = left
	}
	return nil
}

// start puts w at x and forgets Adam's moments.
func (r *cwRow) start(x []float32) {
	r.ok, r.last = false, math.Inf(1)
	clear(r.m)
	clear(r.v)
	for j, v := range x {
		r.w[j] = 0
		if r.amp[j] > 0 {
			r.w[j] = math.Atanh(min(max((float64(v)-r.mean[j])/r.amp[j], -1), 1) * 0.999999)
		}
	}
}

func (r *cwRow) point(y []float32) {
	for j, w := range r.w {
		y[j] = float32(r.mean[j] + float64(r.amp[j]*math.Tanh(w)))
	}
}

// adam makes one step (β 0.9, 0.999).
func (r *cwRow) adam(x, y, g []float32, width, rate float64, step int) {
	b1, b2 := 1-math.Pow(0.9, float64(step)), 1-math.Pow(0.999, float64(step))
	for j, w := range r.w {
		t := math.Tanh(w)
		d := 2*(float64(y[j])-float64(x[j]))/(width*width) + r.c*float64(g[j])
		d *= r.amp[j] * (1 - t*t)
		r.m[j] = 0.9*r.m[j] + 0.1*d
		r.v[j] = 0.999*r.v[j] + 0.001*d*d
		r.w[j] = w - rate*(r.m[j]/b1)/(math.Sqrt(r.v[j]/b2)+1e-8)
	}
}
