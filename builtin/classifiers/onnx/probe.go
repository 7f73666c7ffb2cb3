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
// there is a gradient.
func (p *program) try(ctx context.Context, lo, hi float32, names map[string]string) error {
	r := rand.New(rand.NewPCG(1, 0x0a11))
	x := tensor.Batch(probeRows, p.entry.wire)
	for i := range x.Data {
		x.Data[i] = lo + (hi-lo)*r.Float32()
	}
	s, err := p.pool.take()
	if err != nil {
		return err
	}
	defer p.pool.give(s)
	p.step = probeRows
	if err := p.tryBatches(ctx, s, x); err != nil {
		return err
	}
	v := s.values[p.slots[sdk.Output]]
	p.gradient, s.waits = sdk.NoGradient, false
	if v.diff {
		p.gradient = pick(s.estimated, sdk.EstimatedGradient, sdk.ExactGradient)
	} else {
		p.why = p.flat(s)
	}
	for name, tensorName := range names {
		h := s.values[p.slots[name]]
		if h.kind != float || len(h.shape) == 0 || size(h.shape) == 0 || !p.fixed && h.shape[0] != probeRows || p.fixed && h.shape[0] != p.step {
			return sdk.Diagnostics{{Pointer: "/hidden", Message: fmt.Sprintf("%q has the shape %v: want floats, a row for each example", tensorName, h.shape)}}
		}
		p.shapes[name] = tensor.Shape(h.shape[1:]).Clone()
		if len(h.shape) == 1 {
			p.shapes[name] = tensor.Shape{1}
		}
	}
	return nil
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

// tryBatches finds whether the model takes any batch, or only the declared one.
func (p *program) tryBatches(ctx context.Context, s *session, x *tensor.Tensor) error {
	var alone [probeRows][]float32
	check := func(rows int) error {
		v := s.values[p.slots[sdk.Output]]
		if v.kind != float || len(v.shape) < 1 || v.shape[0] != rows || len(v.shape) > 1 && size(v.shape[1:]) != v.shape[1] || size(v.shape) == 0 {
			return fmt.Errorf("%d rows give an output of shape %v, want (%d, classes)", rows, v.shape, rows)
		}
		p.classes = len(v.f) / rows
		return nil
	}
	free := func() error {
		for i := range probeRows {
			if err := s.evaluate(ctx, p, x.Rows(i, i+1), 0, 0); err != nil {
				return err
			}
			if err := check(1); err != nil {
				return err
			}
			alone[i] = append([]float32{}, s.values[p.slots[sdk.Output]].f...)
		}
		if err := s.evaluate(ctx, p, x, 0, p.pool.next()); err != nil {
			return err
		}
		return check(probeRows)
	}
	err := free()
	if err == nil {
		v := s.values[p.slots[sdk.Output]]
		p.same = true
		worst := 0.0
		for i, row := range alone {
			for q, want := range row {
				got := v.f[i*p.classes+q]
				p.same = p.same && (got == want || got != got && want != want)
				worst = max(worst, math.Abs(float64(got-want))/max(1, math.Abs(float64(want))))
			}
		}
		if worst <= 1e-3 || p.entry.batch < 1 {
			p.step = max(1, min(4096, budget/max(1, s.results.used/probeRows)))
			return nil
		}
		err = fmt.Errorf("rows answer otherwise in other batches")
	}
	if ctx.Err() != nil || p.entry.batch < 1 {
		return err
	}
	p.fixed, p.step = true, p.entry.batch // exported for one batch size alone
	if again := s.evaluate(ctx, p, x.Rows(0, min(probeRows, p.step)), p.step, p.pool.next()); again != nil {
		return again
	}
	p.same = p.step == 1
	return check(p.step)
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
