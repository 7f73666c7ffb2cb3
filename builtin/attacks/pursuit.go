package attacks

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// pursuit is projected descent with shrinking steps against a detector. Of all
// iterates of all runs it keeps the misclassified one of lowest score, which
// is the worst case at every threshold; else the one of lowest loss.
type pursuit struct {
	x    *tensor.Tensor
	b    attack.Budget
	goal *guardLoss
	best *tensor.Tensor
	rank []standing
}

// standing is how good a row's best iterate is.
type standing struct {
	wrong, done bool
	score, loss float64
}

func newPursuit(x *tensor.Tensor, goal *guardLoss, b attack.Budget) *pursuit {
	if math.IsInf(b.Eps, 1) {
		b.Eps = reach(b, x.Stride())
	}
	q := &pursuit{x: x, b: b, goal: goal, best: x.Clone(), rank: make([]standing, x.N())}
	for i := range q.rank {
		q.rank[i] = standing{score: math.Inf(1), loss: math.Inf(1)}
	}
	return q
}

// compass turns a sample into the gradient to descend.
type compass func(ctx context.Context, p *attack.Probe, rows []int, s attack.Sample) (*tensor.Tensor, error)

// offer keeps an iterate if it is better than what there is.
func (q *pursuit) offer(i int, y []float32, s attack.Sample, k int) {
	now := standing{loss: s.Loss[k], done: s.Done[k], score: float64(s.Outputs[detect.OutputScore].Row(k)[0])}
	z := s.Outputs[sdk.Output].Row(k)
	if q.goal.alarm {
		now.wrong, now.score = oracle.Argmax(z) == q.goal.labels[i], -now.score
	} else {
		now.wrong = q.goal.wrong(z, i)
	}
	old := q.rank[i]
	better := now.wrong && (!old.wrong || now.score < old.score) || !now.wrong && !old.wrong && now.loss < old.loss
	if better {
		copy(q.best.Row(i), y)
		now.done = now.done || old.done
		q.rank[i] = now
	}
}

// open are the rows where no run has evaded the detector yet.
func (q *pursuit) open() []int {
	var rows []int
	for i, r := range q.rank {
		if !r.done {
			rows = append(rows, i)
		}
	}
	return rows
}

// run makes steps steps on the given rows; the length falls from step·eps to
// a tenth of it. Stage keys the random start.
func (q *pursuit) run(ctx context.Context, p *attack.Probe, rows []int, steps int, step float64, stage uint64, toward compass) error {
	rows = affordable(p, rows)
	y := q.x.Clone()
	for _, i := range rows {
		q.start(y.Row(i), i, q.b.Eps/2, stage)
	}
	for k := 0; k <= steps && len(rows) > 0; k++ {
		s, err := p.Loss(ctx, rows, y.Gather(rows))
		if err != nil {
			return err
		}
		for j, i := range rows {
			q.offer(i, y.Row(i), s, j)
		}
		if k == steps {
			break
		}
		g, err := toward(ctx, p, rows, s)
		if err != nil {
			return err
		}
		length := step * q.b.Eps * (1 - 0.9*float64(k)/float64(steps))
		var left []int
		for j, i := range rows {
			steepest(g.Row(j), q.b.Norm)
			walk(y.Row(i), y.Row(i), g.Row(j), length)
			q.b.Project(q.x.Row(i), y.Row(i))
			if p.Affords(i, 1) {
				left = append(left, i)
			}
		}
		rows = left
	}
	return nil
}

// start moves y to a point that stage keys, at random within eps of row i.
func (q *pursuit) start(y []float32, i int, eps float64, stage uint64) {
	b := q.b
	b.Seed ^= stage * 0x9e3779b97f4a7c15
	randomStart(y, q.x.Row(i), eps, b, i)
}

// halve makes steps steps on the given rows down loss, whose length halves, from the best point
// on, where they gain too little: the schedule of Auto-PGD with its rho, from a first length of
// step·eps. Stage keys the start, at random in the whole ball.
//
// The loss jumps where a row gets its target's class, since from there on it has the score too. So
// the iterates beyond are the better ones whatever their loss, or the schedule would go back before the jump.
func (q *pursuit) halve(ctx context.Context, p *attack.Probe, loss *guardLoss, rows []int, steps int, step, rho float64, stage uint64) error {
	rows = affordable(p, rows)
	y, state := q.x.Clone(), make([]apgdRow, q.x.N())
	for _, i := range rows {
		q.start(y.Row(i), i, q.b.Eps, stage)
		state[i] = newAPGDRow(step*q.b.Eps, q.x.Stride())
	}
	before, marks, toward := y.Clone(), newCheckpoints(steps), q.downhill(loss)
	for k := 0; k <= steps && len(rows) > 0; k++ {
		s, err := p.Loss(ctx, rows, y.Gather(rows))
		if err != nil {
			return err
		}
		for j, i := range rows {
			q.offer(i, y.Row(i), s, j)
		}
		if k == steps {
			break
		}
		g, err := toward(ctx, p, rows, s)
		if err != nil {
			return err
		}
		check, taken := marks.next()
		var left []int
		for j, i := range rows {
			r := &state[i]
			r.see(y.Row(i), g.Row(j), value{loss.scored(s.Outputs[sdk.Output].Row(j), i), s.Loss[j]})
			if check && r.slow(rho, taken) {
				r.back(y.Row(i), g.Row(j))
			}
			r.move(y.Row(i), before.Row(i), q.x.Row(i), g.Row(j), k == 0, q.b)
			if p.Affords(i, 1) {
				left = append(left, i)
			}
		}
		rows = left
	}
	return nil
}

// downhill is the compass of the loss itself.
func (q *pursuit) downhill(loss *guardLoss) compass {
	return func(ctx context.Context, p *attack.Probe, rows []int, s attack.Sample) (*tensor.Tensor, error) {
		o := loss.Select(rows)
		cot := make(map[string]*tensor.Tensor)
		for _, name := range o.Outputs() {
			cot[name] = tensor.New(s.Outputs[name].Shape...)
		}
		o.Loss(make([]float64, len(rows)), s.Outputs, cot)
		return p.Pull(ctx, rows, s, cot)
	}
}
