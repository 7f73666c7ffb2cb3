package onnx

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/builtin/classifiers/tape"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// session runs the graph for one call at a time. Between calls it keeps the
// tape of its last forward pass, so that a pullback need not repeat it.
type session struct {
	tape.Mark
	run
	x     *value
	share int // of the memory it has one part of so many; 0: all
}

// session makes one that runs the model in room of its own beside the model.
func (p *program) session() (*session, error) {
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		return nil, err
	}
	s := &session{run: *newRun(k, p.allowance)}
	s.base, s.all = &p.base, &p.held
	return s, nil
}

// full reports that sessions hold twice what one may: tapes that wait are given
// up then, and the numbers of gradients that have been pulled back.
func (p *program) full() bool { return p.held.Load() >= 2*p.allowance.memory }

// Close ends the engine's workers.
func (s *session) Close() { s.k.Close() }

// evaluate runs the graph on the rows of x, filled up with zeros to at least
// rows of them. Pass 0 keeps no tape.
func (s *session) evaluate(ctx context.Context, p *program, x *tensor.Tensor, rows int, pass uint64) error {
	s.tape = s.tape[:0] // the old one is gone, even if this pass fails
	s.Set(0)
	s.allowance = p.allowance // max_batch may have added to it
	if s.share > 1 {
		base := p.base.Load()
		s.memory = base + (s.memory-base)/int64(s.share)
	}
	s.keep = pass != 0
	if err := s.enter(p.entry, x, max(rows, x.N()), rows > x.N() || p.fixed); err != nil {
		return err
	}
	s.loose = p.loose
	if err := s.forward(ctx, p.graph, s.x); err != nil {
		return err
	}
	if err := s.leave(p); err != nil {
		return err
	}
	s.Set(pass)
	return nil
}

// leave puts the answers into the order of their shapes.
func (s *session) leave(p *program) (err error) {
	defer rescue(func() string { return "outputs" }, &err)
	for _, name := range p.names { // in a fixed order: so are the tape and its sums
		slot := p.slots[name]
		s.values[slot] = s.plain(s.values[slot])
		if v := s.values[slot]; p.entry.bare && len(v.shape) == 1 {
			s.values[slot] = s.view(v, []int{1, v.shape[0]})
		}
	}
	s.forwards = s.made
	return nil
}

// enter makes n rows of x the model's input, those that x lacks zeros. fixed: the
// file says how many.
func (s *session) enter(e *entry, x *tensor.Tensor, n int, fixed bool) (err error) {
	defer rescue(func() string { return fmt.Sprintf("%d rows of input %q", n, e.name) }, &err)
	s.begin(pick(fixed, max(x.N(), min(n, fixedRows)), n))
	shape := append([]int{n}, e.shape...)
	if e.bare {
		shape = e.shape
	}
	whole := kindOf(e.elem) != float && e.read != asFloats
	switch {
	case s.x != nil && size(s.x.shape) == size(shape):
	case whole:
		s.hold(8 * (int64(size(shape)) - int64(s.inputs())))
		s.x = &value{kind: kindOf(e.elem), elem: e.elem, i: make([]int64, size(shape))}
	default:
		s.hold(4 * (int64(size(shape)) - int64(s.inputs())))
		s.x = &value{kind: float, f: make([]float32, size(shape))}
	}
	s.x.shape, s.x.diff, s.x.d, s.x.other = shape, e.read != asSymbols, nil, nil
	s.batch, s.estimated = n, whole && s.x.diff
	if !whole {
		clear(s.x.f[copy(s.x.f, x.Data):])
		return nil
	}
	clear(s.x.i)
	for i, v := range x.Data {
		s.x.i[i] = rounded(v, e.elem)
	}
	return nil
}

// inputs is how many numbers the input before had.
func (s *session) inputs() int {
	if s.x == nil {
		return 0
	}
	return len(s.x.f) + len(s.x.i)
}
