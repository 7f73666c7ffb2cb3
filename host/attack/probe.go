package attack

import (
	"context"
	"errors"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// errNoGradient is for models whose Forward gives no Pullback.
var errNoGradient = errors.New("the model gives no gradient")

// Probe asks a model about some rows of a batch and keeps count. It is how an
// attack leaves out the rows that are finished. Under Options.Constraints it asks
// about the legal row that the runner would make of each candidate, so what
// succeeds here still does when it is judged; a gradient is that at the legal
// row, passed straight through the rounding (Bengio et al. 2013, arXiv:1308.3432).
type Probe struct {
	model sdk.Forwarder
	goal  Objective
	b     Budget
}

// Sample is a model's answer for some rows.
type Sample struct {
	Loss     []float64
	Done     []bool
	Outputs  map[string]*tensor.Tensor
	Pullback sdk.Pullback   // nil if the model has no gradient
	Grad     *tensor.Tensor // of Loss, if asked for
}

// NewProbe is a probe for a batch of n rows.
func NewProbe(m sdk.Forwarder, n int, o Objective, b Budget) *Probe {
	if b.tally == nil {
		b.tally = newTally(n)
	}
	return &Probe{model: m, goal: o, b: b}
}

func newTally(n int) *tally {
	return &tally{make([]int64, n), make([]int64, n), make([]int64, n)}
}

// Loss evaluates the objective at x, whose row k is a candidate for row
// rows[k] of the batch.
func (p *Probe) Loss(ctx context.Context, rows []int, x *tensor.Tensor) (Sample, error) {
	o := p.goal.Select(rows)
	if p.b.legal != nil {
		x = p.b.legal.rows(rows, x)
	}
	out, pull, err := p.model.Forward(ctx, x, o.Outputs()...)
	if err != nil {
		return Sample{}, err
	}
	for _, r := range rows {
		p.b.tally.queries[r]++
	}
	s := Sample{Loss: make([]float64, len(rows)), Done: make([]bool, len(rows)), Outputs: out, Pullback: pull}
	o.Loss(s.Loss, out, nil)
	o.Done(s.Done, out)
	return s, nil
}

// Gradient is Loss with the gradient at x.
func (p *Probe) Gradient(ctx context.Context, rows []int, x *tensor.Tensor) (Sample, error) {
	s, err := p.Loss(ctx, rows, x)
	if err != nil {
		return s, err
	}
	o := p.goal.Select(rows)
	cot := make(map[string]*tensor.Tensor)
	for _, name := range o.Outputs() {
		cot[name] = tensor.New(s.Outputs[name].Shape...)
	}
	o.Loss(s.Loss, s.Outputs, cot)
	s.Grad, err = p.Pull(ctx, rows, s, cot)
	return s, err
}

// Pull maps cotangents of a sample's outputs to their gradient at its x.
func (p *Probe) Pull(ctx context.Context, rows []int, s Sample, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
	if s.Pullback == nil {
		return nil, errNoGradient
	}
	g, err := s.Pullback(ctx, cot)
	if err != nil {
		return nil, err
	}
	for k, r := range rows {
		p.b.tally.gradients[r]++
		if zero(g.Row(k)) && asked(cot, k) {
			p.b.tally.zero[r]++
		}
	}
	return g.Clone(), nil
}

// Spent is the number of queries made for a row.
func (p *Probe) Spent(row int) int { return int(p.b.tally.queries[row]) }

// Affords reports whether the row's budget has n queries left.
func (p *Probe) Affords(row, n int) bool {
	return p.b.Queries == 0 || p.Spent(row)+n <= p.b.Queries
}

// asked reports whether row k has a cotangent other than zero: a loss that is
// flat (a hinge that is reached) has a zero gradient that masks nothing.
func asked(cot map[string]*tensor.Tensor, k int) bool {
	for _, c := range cot {
		if !zero(c.Row(k)) {
			return true
		}
	}
	return false
}

func zero(v []float32) bool {
	for _, e := range v {
		if e != 0 {
			return false
		}
	}
	return true
}

// All are the row numbers 0 … n−1.
func All(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}
