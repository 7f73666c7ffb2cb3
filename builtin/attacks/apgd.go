package attacks

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// APGD is Auto-PGD (Croce & Hein 2020, arXiv:2003.01690): momentum 0.75, a
// step of 2·eps that is halved, going back to the best point, at checkpoints
// where progress was too slow.
type APGD struct {
	attack.Unit
	Norm     string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps      float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps    int     `yaml:"steps" check:">= 2" doc:"gradient steps"`
	Loss     string  `yaml:"loss" enum:"ce|dlr" doc:"cross-entropy, or difference of logits ratio (3 classes or more)"`
	Rho      float64 `yaml:"rho" check:"> 0, <= 1" doc:"fraction of steps that must have improved the loss"`
	Restarts int     `yaml:"restarts" check:">= 1" doc:"runs, each on the rows where no earlier one succeeded"`
}

var (
	_ attack.Iterated  = (*APGD)(nil)
	_ attack.Chooser   = (*APGD)(nil)
	_ attack.Restarter = (*APGD)(nil)
	_ attack.Choosy    = (*APGD)(nil)
)

// Ball implements attack.Attack.
func (a *APGD) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *APGD) Needs() attack.Need { return attack.NeedsGradients }

// Iterated implements attack.Iterated.
func (a *APGD) Iterated() bool { return true }

// Repeats implements attack.Restarter.
func (a *APGD) Repeats() int { return a.Restarts }

// Objective implements attack.Chooser.
func (a *APGD) Objective(g attack.Goal) (attack.Objective, error) {
	if a.Loss == "dlr" {
		return g.DLR()
	}
	return g.CrossEntropy(), nil
}

// Fits implements attack.Choosy: the loss needs logits to compare.
func (a *APGD) Fits(_ tensor.Shape, classes int) error {
	if classes == 0 {
		return nil
	}
	_, err := a.Objective(attack.Goal{Classes: classes})
	return err
}

// checkpoints say after which of the steps Auto-PGD looks back: after 0.22 of them, then
// each time sooner by 0.03 of them, down to 0.06.
type checkpoints struct{ period, since, less, least int }

func newCheckpoints(steps int) checkpoints {
	part := func(share float64) int { return max(1, int(share*float64(steps))) }
	return checkpoints{period: part(0.22), less: part(0.03), least: part(0.06)}
}

// next is called before each step: it reports whether it is a checkpoint, and the steps
// since the last one.
func (c *checkpoints) next() (check bool, taken int) {
	if taken = c.since; taken == c.period {
		check = true
		c.period, c.since = max(c.period-c.less, c.least), 0
	}
	c.since++
	return check, taken
}

// value is how good an iterate is: where the loss is one function up to a goal and another from there
// on, an iterate that reached the goal is better than any that did not, whatever their losses are.
type value struct {
	reached bool
	loss    float64
}

// below reports whether v is better than w.
func (v value) below(w value) bool {
	if v.reached != w.reached {
		return v.reached
	}
	return v.loss < w.loss
}

// apgdRow is the state of one row between checkpoints.
type apgdRow struct {
	step      float64
	best      value // the best so far
	bestX     []float32
	bestGrad  []float32
	improved  int   // steps since the checkpoint that got better
	last      value // of the previous iterate
	lastBest  value // best at the previous checkpoint
	shortened bool  // the step was halved there
}

// Perturb implements attack.Attack.
func (a *APGD) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	n := x.N()
	if math.IsInf(b.Eps, 1) {
		b.Eps = reach(b, x.Stride())
	}
	y := x.Clone()
	state := make([]apgdRow, n)
	for i := range n {
		randomStart(y.Row(i), x.Row(i), b.Eps, b, i)
		state[i] = newAPGDRow(2*b.Eps, x.Stride())
	}
	best, before := newKeeper(y), y.Clone()
	p := attack.NewProbe(m, n, o, b)
	rows := attack.All(n)
	marks := newCheckpoints(a.Steps)
	for k := 0; k <= a.Steps && p.Affords(0, 1); k++ { // all rows have spent the same
		s, err := p.Gradient(ctx, rows, y)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			best.offer(i, y.Row(i), s.Loss[i], s.Done[i])
			state[i].see(y.Row(i), s.Grad.Row(i), value{loss: s.Loss[i]})
		}
		check, taken := marks.next()
		for i := range rows {
			g := s.Grad.Row(i)
			if check && state[i].slow(a.Rho, taken) {
				state[i].back(y.Row(i), g)
			}
			state[i].move(y.Row(i), before.Row(i), x.Row(i), g, k == 0, b)
		}
	}
	return best.x, nil
}

// newAPGDRow is the state, before its first step, of a row of so many features.
func newAPGDRow(step float64, features int) apgdRow {
	inf := value{loss: math.Inf(1)}
	return apgdRow{step: step, best: inf, last: inf, lastBest: inf, bestX: make([]float32, features), bestGrad: make([]float32, features), shortened: true}
}

// see notes how good an iterate is.
func (r *apgdRow) see(y, g []float32, now value) {
	if now.below(r.last) {
		r.improved++
	}
	r.last = now
	if now.below(r.best) {
		r.best = now
		copy(r.bestX, y)
		copy(r.bestGrad, g)
	}
}

// slow is the checkpoint: too few steps got better, or nothing was
// gained with a step that was not halved last time. The step is then halved.
func (r *apgdRow) slow(rho float64, steps int) bool {
	few := float64(r.improved) < rho*float64(steps)
	stuck := !r.shortened && !r.best.below(r.lastBest)
	r.lastBest, r.improved = r.best, 0
	r.shortened = few || stuck
	if r.shortened {
		r.step /= 2
	}
	return r.shortened
}

// back returns to the best point and its gradient.
func (r *apgdRow) back(y, g []float32) {
	copy(y, r.bestX)
	copy(g, r.bestGrad)
}

// move makes one step with momentum: z = P(y + step·direction),
// y' = P(y + α(z − y) + (1 − α)(y − before)), where α is 1 in the first step, then 0.75.
func (r *apgdRow) move(y, before, x, g []float32, first bool, b attack.Budget) {
	momentum := 0.75
	if first {
		momentum = 1
	}
	steepest(g, b.Norm)
	z := make([]float32, len(y))
	walk(z, y, g, r.step)
	b.Project(x, z)
	for j, v := range y {
		next := float64(v) + momentum*(float64(z[j])-float64(v)) + (1-momentum)*(float64(v)-float64(before[j]))
		before[j] = v
		y[j] = float32(next)
	}
	b.Project(x, y)
}
