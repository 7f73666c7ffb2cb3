package onnx

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// probeRows is how many random rows a model is tried with.
const probeRows = 3

// budget is how many numbers the results of one evaluation may have.
const budget = 16 << 20

// try runs random rows through the model, alone and together, and learns what
// the file does not say: the shapes, the batch it was exported with, whether
// there is a gradient. It returns the last output.
func (p *program) try(ctx context.Context, lo, hi float32, names map[string]string) (*value, error) {
	r := rand.New(rand.NewPCG(1, 0x0a11))
	if n, rest := 4*probeRows*int64(p.entry.wire.Size()), p.allowance.memory-p.base.Load(); n > rest {
		return nil, fmt.Errorf("%d rows of input %q take %s, and the model may take %s", probeRows, p.entry.name, inBytes(n), inBytes(rest))
	}
	x := tensor.Batch(probeRows, p.entry.wire)
	for i := range x.Data {
		x.Data[i] = lo + (hi-lo)*r.Float32()
	}
	s, err := p.pool.Take()
	if err != nil {
		return nil, err
	}
	defer p.pool.Give(s)
	p.step = probeRows
	if err := p.tryBatches(ctx, s, x); err != nil {
		return nil, err
	}
	v := s.values[p.slots[sdk.Output]]
	if noNumber(v) {
		return nil, fmt.Errorf("every answer is NaN: %s", p.spoiled(s))
	}
	p.gradient = sdk.NoGradient
	s.Used()
	if v.diff {
		p.gradient = pick(s.estimated, sdk.EstimatedGradient, sdk.ExactGradient)
	} else {
		p.why = p.flat(s)
	}
	for name, tensorName := range names {
		h := s.values[p.slots[name]]
		if h.kind != float || len(h.shape) == 0 || size(h.shape) == 0 || !p.fixed && h.shape[0] != probeRows || p.fixed && h.shape[0] != p.step {
			return nil, sdk.Diagnostics{{Pointer: "/hidden", Message: fmt.Sprintf("%q has the shape %v: want floats, a row for each example", tensorName, h.shape)}}
		}
		p.shapes[name] = tensor.Shape(h.shape[1:]).Clone()
		if len(h.shape) == 1 {
			p.shapes[name] = tensor.Shape{1}
		}
	}
	return v, nil
}

// noNumber reports that a value is NaN throughout.
func noNumber(v *value) bool {
	return v.kind == float && len(v.f) > 0 && !slices.ContainsFunc(v.f, func(x float32) bool { return x == x })
}

// spoiled says where NaN comes from.
func (p *program) spoiled(s *session) string {
	some := func(v *value) bool {
		return v != nil && v.kind == float && slices.ContainsFunc(v.f, func(x float32) bool { return x != x })
	}
	for _, step := range p.graph.steps {
		if !slices.ContainsFunc(step.out, func(k int) bool { return k >= 0 && some(s.values[k]) }) {
			continue
		}
		for i, k := range step.in {
			if k >= 0 && some(s.values[k]) {
				return fmt.Sprintf("%v is the first to give it, and its input %q holds it", step.node, brief(step.node.in[i]))
			}
		}
		return fmt.Sprintf("%v is the first to give it", step.node)
	}
	return "the output itself holds it"
}

// flat says why there is no gradient.
func (p *program) flat(s *session) string {
	if p.entry.why != "" {
		return p.entry.why
	}
	for _, step := range p.graph.steps {
		carries := func(slots []int) bool {
			return slices.ContainsFunc(slots, func(k int) bool { return k >= 0 && s.values[k] != nil && s.values[k].diff })
		}
		if carries(step.in) && !carries(step.out) && step.node.op != "Shape" && step.node.op != "Size" {
			return fmt.Sprintf("%v has none", step.node)
		}
	}
	return "the answer does not depend on the input"
}

// tryBatches finds whether the model takes any batch, as it is or once its
// reshapes forget the batch they were exported with, or only one size.
func (p *program) tryBatches(ctx context.Context, s *session, x *tensor.Tensor) error {
	exported := max(1, p.entry.batch)
	alone, err := p.answers(ctx, s, x, 1, 0)
	if err != nil && (ctx.Err() != nil || p.entry.batch < 1 || p.entry.bare) {
		return err
	}
	want := alone
	if err != nil { // exported for one size alone: what it says then
		if want, err = p.answers(ctx, s, x.Rows(0, min(probeRows, exported)), exported, exported); err != nil {
			return err
		}
	}
	worst, together := 0.0, error(nil)
	for _, loose := range []int{0, exported} {
		if p.entry.bare || loose == 0 && alone == nil {
			continue
		}
		p.loose = loose
		if worst, together = p.compare(ctx, s, x, want); together == nil && worst <= tolerated {
			p.each = s.results.used / probeRows
			p.step = max(1, min(4096, p.numbers()/max(1, p.each)))
			if !p.same && p.dynamic() {
				break // on a grid that all rows of a batch share
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	p.loose = 0
	if together == nil && worst > tolerated && p.entry.batch < 1 && !p.single && !p.dynamic() {
		return fmt.Errorf("a row's answer depends on the other rows of its batch, by up to %.2g: a detector would judge rows by their neighbours. "+
			"Does the model normalise over the batch, or take a softmax over it? Export it in evaluation mode; or with max_batch: 1 each row is asked alone", worst)
	}
	p.fixed, p.step = true, exported
	p.same = p.step == 1
	_, err = p.answers(ctx, s, x.Rows(0, min(probeRows, p.step)), p.step, p.step)
	return err
}

// numbers is how many the results of one evaluation may have: with a backward
// pass, and what operators need besides, they are to fit.
func (p *program) numbers() int {
	return max(1, min(budget, int((p.allowance.memory-p.base.Load())/(4*4))))
}

// tolerated is what rows may differ by in other batches, relative to 1 or the
// larger.
const tolerated = 1e-3

// answers are the answers to the rows of x, size at a time, filled up with
// zeros to rows of them.
func (p *program) answers(ctx context.Context, s *session, x *tensor.Tensor, size, rows int) ([][]float32, error) {
	var out [][]float32
	for lo := 0; lo < x.N(); lo += size {
		hi := min(lo+size, x.N())
		if err := s.evaluate(ctx, p, x.Rows(lo, hi), rows, p.pool.Next()); err != nil {
			return nil, err
		}
		if err := p.check(s, max(rows, hi-lo)); err != nil {
			return nil, err
		}
		y := s.values[p.slots[sdk.Output]].f
		for i := range hi - lo {
			out = append(out, slices.Clone(y[i*p.classes:][:p.classes]))
		}
	}
	return out, nil
}

// compare finds how far answers in batches of two and of all rows are from
// want, those of the first rows.
func (p *program) compare(ctx context.Context, s *session, x *tensor.Tensor, want [][]float32) (worst float64, err error) {
	p.same = true
	sizes := []int{2, probeRows}
	if p.loose == 0 {
		sizes = sizes[1:]
	}
	for _, n := range sizes {
		got, err := p.answers(ctx, s, x.Rows(0, n), n, 0)
		if err != nil {
			return 0, err
		}
		for i := range min(len(want), len(got)) {
			if len(want[i]) != len(got[i]) {
				return 0, fmt.Errorf("the number of classes depends on the batch")
			}
			for q, w := range want[i] {
				g := got[i][q]
				if g == w || g != g && w != w {
					continue
				}
				p.same = false
				if off := math.Abs(float64(g-w)) / max(1, math.Abs(float64(w))); off == off {
					worst = max(worst, off)
				} else {
					worst = math.Inf(1)
				}
			}
		}
	}
	return worst, nil
}

// check wants an answer of one row of numbers for each of the rows.
func (p *program) check(s *session, rows int) error {
	v := s.values[p.slots[sdk.Output]]
	fault := fmt.Sprintf("%d rows give an output of shape %v, want (%d, classes)", rows, v.shape, rows)
	switch {
	case v.kind != float:
		return fmt.Errorf("the output holds whole numbers or labels, want a score for each class")
	case len(v.shape) < 1 || v.shape[0] != rows && rows > 1 && size(v.shape) > 0 && size(v.shape)%rows != 0:
		return fmt.Errorf("%s: one answer for the whole batch", fault)
	case v.shape[0] != rows || size(v.shape) == 0:
		return fmt.Errorf("%s", fault)
	case len(v.shape) > 1 && size(v.shape[1:]) != v.shape[1]:
		return fmt.Errorf("%s: sequences, maps and boxes are no classes; output: NAME picks another tensor", fault)
	}
	p.classes = len(v.f) / rows
	return nil
}

// dynamic reports that the model chooses grids for its numbers by what a batch
// holds.
func (p *program) dynamic() bool {
	return slices.ContainsFunc(p.graph.steps, func(s planned) bool {
		return s.node.op == "DynamicQuantizeLinear" || s.node.op == "DynamicQuantizeMatMul"
	})
}

// settle decides what the output's numbers are, if the graph does not tell.
func (p *program) settle(kind sdk.OutputKind, y []float32) {
	if p.kind = kind; kind == 0 {
		p.kind = sdk.Probabilities
		for i := 0; i < len(y); i += p.classes {
			sum := 0.0
			for _, v := range y[i : i+p.classes] {
				sum += float64(v)
				if !(v >= 0 && v <= 1) {
					p.kind = sdk.Logits
				}
			}
			if p.classes > 1 && math.Abs(sum-1) > 1e-3 {
				p.kind = sdk.Logits
			}
		}
	}
	if p.classes == 1 {
		p.column, p.classes = true, 2
	}
}
