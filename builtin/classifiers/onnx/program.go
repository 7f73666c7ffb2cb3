package onnx

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/builtin/classifiers/tape"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// program is a model ready to answer.
type program struct {
	entry  *entry
	graph  *graph
	names  []string                // of the outputs, as the SDK has them
	slots  map[string]int          // by these names
	shapes map[string]tensor.Shape // per example, of hidden layers
	pool   tape.Pool[*session]
	lanes  lanes

	allowance allowance
	base      atomic.Int64 // bytes of the model
	held      atomic.Int64 // bytes that sessions hold beside it

	classes  int
	kind     sdk.OutputKind
	column   bool // the model has one column: two classes are made of it
	gradient sdk.GradientKind
	why      string // there is none
	same     bool   // rows gave the same bits in other batches
	step     int    // rows per evaluation
	each     int    // numbers that the results of a row take
	loose    int    // reshapes take any batch in the place of this one; 0: as they are
	single   bool   // one row per evaluation is enough
	fixed    bool   // always step rows
}

// chunks calls f with parts of x that one evaluation takes.
func (p *program) chunks(ctx context.Context, x *tensor.Tensor, f func(lo, hi int) error) error {
	for lo := 0; lo < x.N(); lo += p.step {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(lo, min(lo+p.step, x.N())); err != nil {
			return err
		}
	}
	return nil
}

// rows is how many rows an evaluation must have at least.
func (p *program) rows() int {
	if p.fixed {
		return p.step
	}
	return 0
}

// read copies the first n rows of a named output.
func (p *program) read(s *session, name string, dst *tensor.Tensor) error {
	v := s.values[p.slots[name]]
	if v.kind != float || len(v.shape) == 0 || v.shape[0] < dst.N() || len(v.f) < dst.N() {
		return fmt.Errorf("output %q has the shape %v", name, v.shape)
	}
	if name == sdk.Output && p.column {
		for i := range dst.N() {
			z := v.f[i]
			if dst.Row(i)[0], dst.Row(i)[1] = 0, z; p.kind == sdk.Probabilities {
				dst.Row(i)[0] = 1 - z
			}
		}
		return nil
	}
	if len(v.f)/v.shape[0] != dst.Stride() {
		return fmt.Errorf("output %q has the shape %v", name, v.shape)
	}
	copy(dst.Data, v.f)
	return nil
}

// seed is the gradient at a named output's value of a cotangent, filled up
// with zeros.
func (p *program) seed(s *session, name string, c *tensor.Tensor) []float32 {
	g := fresh[float32](&s.room, len(s.values[p.slots[name]].f))
	if name == sdk.Output && p.column {
		for i := range c.N() {
			g[i] = c.Row(i)[1]
			if p.kind == sdk.Probabilities {
				g[i] -= c.Row(i)[0]
			}
		}
		return g
	}
	copy(g, c.Data)
	return g
}

// shapeOf is an output's shape per example.
func (p *program) shapeOf(name string) (tensor.Shape, error) {
	if name == sdk.Output {
		return tensor.Shape{p.classes}, nil
	}
	if s, ok := p.shapes[name]; ok {
		return s, nil
	}
	return nil, sdk.Errorf(sdk.InvalidArgument, "unknown output %q; known: %s", name, append([]string{sdk.Output}, slices.Sorted(maps.Keys(p.shapes))...))
}

// forward computes named outputs; a tape is kept where one evaluation does.
func (p *program) forward(ctx context.Context, x *tensor.Tensor, names []string, tape uint64) (map[string]*tensor.Tensor, error) {
	outs := map[string]*tensor.Tensor{}
	for _, name := range names {
		shape, err := p.shapeOf(name)
		if err != nil {
			return nil, err
		}
		outs[name] = tensor.Batch(x.N(), shape)
	}
	if tape == 0 || p.gradient == sdk.NoGradient {
		if err := p.inLanes(ctx, x, outs); err == nil {
			return outs, nil
		}
	}
	s, err := p.pool.Take()
	if err != nil {
		return nil, err
	}
	defer p.pool.Give(s)
	if x.N() > p.step {
		tape = 0
	}
	return outs, p.chunks(ctx, x, func(lo, hi int) error {
		if err := s.evaluate(ctx, p, x.Rows(lo, hi), p.rows(), tape); err != nil {
			return err
		}
		for name, out := range outs {
			if err := p.read(s, name, out.Rows(lo, hi)); err != nil {
				return err
			}
		}
		return nil
	})
}

// pullback pulls cotangents of outputs back to x, on the tape or, if it is
// gone, after another forward pass.
func (p *program) pullback(x *tensor.Tensor, tape uint64, outputs map[string]*tensor.Tensor) sdk.Pullback {
	return func(ctx context.Context, cotangents map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		names := slices.Sorted(maps.Keys(cotangents))
		for _, name := range names {
			y, ok := outputs[name]
			if !ok {
				return nil, sdk.Errorf(sdk.InvalidArgument, "cotangent of %q, which the forward pass was not asked for", name)
			}
			if !cotangents[name].Shape.Equal(y.Shape) {
				return nil, sdk.Errorf(sdk.InvalidArgument, "cotangent of %q is %v, want %v", name, cotangents[name].Shape, y.Shape)
			}
		}
		dx := tensor.New(x.Shape...)
		if len(names) == 0 || x.N() == 0 {
			return dx, ctx.Err()
		}
		s, err := p.pool.Find(tape)
		if err != nil {
			return nil, err
		}
		defer p.pool.Give(s)
		return dx, p.chunks(ctx, x, func(lo, hi int) error {
			if !s.Holds(tape) || x.N() > p.step {
				if err := s.evaluate(ctx, p, x.Rows(lo, hi), p.rows(), tape); err != nil {
					return err
				}
			}
			if err := p.pull(s, names, cotangents, dx.Rows(lo, hi), lo); err != nil {
				return err
			}
			s.Used()
			return nil
		})
	}
}

// pull pulls rows of cotangents, from lo on, back to dx on the tape of s.
func (p *program) pull(s *session, names []string, cotangents map[string]*tensor.Tensor, dx *tensor.Tensor, lo int) (err error) {
	defer rescue(func() string { return "the backward pass" }, &err)
	s.made = s.forwards // of an earlier backward pass nothing is left
	seeds := map[*value][]float32{}
	var order []*value
	for _, name := range names {
		v, g := s.values[p.slots[name]], p.seed(s, name, cotangents[name].Rows(lo, lo+dx.N()))
		if had, ok := seeds[v]; ok {
			for i := range had {
				had[i] += g[i]
			}
			continue
		}
		seeds[v], order = g, append(order, v)
	}
	d, err := s.backward(s.x, seeds, order)
	if err == nil && d != nil {
		copy(dx.Data, d)
	}
	if p.full() {
		s.scratch.trim(&s.room, 0)
	}
	return err
}
