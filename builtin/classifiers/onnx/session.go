package onnx

import (
	"context"
	"sync"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// session runs the graph for one call at a time. Between calls it keeps the
// tape of its last forward pass, so that a pullback need not repeat it.
type session struct {
	run
	x     *value
	tape  uint64 // which forward pass the tape belongs to; 0: none that is wanted
	waits bool   // no pullback has used the tape yet
}

// spare is how many sessions may exist before tapes are given up for reuse: a
// pullback without its tape goes forward again.
const spare = 8

// pool hands out sessions.
type pool struct {
	mu    sync.Mutex
	free  []*session // the last used is last
	made  int
	tapes uint64
}

// take gives a free session, by preference one whose tape nobody waits for.
func (p *pool) take() (*session, error) {
	p.mu.Lock()
	for i := len(p.free) - 1; i >= 0; i-- {
		if !p.free[i].waits {
			return p.pick(i), nil
		}
	}
	if len(p.free) > 0 && p.made >= spare {
		return p.pick(0), nil
	}
	p.made++
	p.mu.Unlock()
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		return nil, err
	}
	return &session{run: run{k: k}}, nil
}

// find gives the session that holds a tape, or any other.
func (p *pool) find(tape uint64) (*session, error) {
	p.mu.Lock()
	for i, s := range p.free {
		if s.tape == tape {
			return p.pick(i), nil
		}
	}
	p.mu.Unlock()
	return p.take()
}

// pick removes free session i and unlocks.
func (p *pool) pick(i int) *session {
	s := p.free[i]
	p.free = append(p.free[:i], p.free[i+1:]...)
	p.mu.Unlock()
	return s
}

func (p *pool) give(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, s)
}

// next numbers a tape.
func (p *pool) next() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tapes++
	return p.tapes
}

// close ends the free sessions' workers. Those in use end with the process.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.free {
		s.k.Close()
	}
	p.free = nil
}

// evaluate runs the graph on the rows of x, filled up with zeros to at least
// rows of them. tape 0 keeps none.
func (s *session) evaluate(ctx context.Context, p *program, x *tensor.Tensor, rows int, tape uint64) error {
	s.run.tape = s.run.tape[:0] // the old one is gone, whatever happens
	s.tape, s.waits, s.keep = 0, false, tape != 0
	s.enter(p.entry, x, max(rows, x.N()))
	s.loose = p.loose
	if err := s.forward(ctx, p.graph, s.x); err != nil {
		return err
	}
	for _, name := range p.names { // in a fixed order: so are the tape and its sums
		slot := p.slots[name]
		s.values[slot] = s.plain(s.values[slot])
		if v := s.values[slot]; p.entry.bare && len(v.shape) == 1 {
			s.values[slot] = s.view(v, []int{1, v.shape[0]})
		}
	}
	s.tape, s.waits = tape, tape != 0
	return nil
}

// enter makes n rows of x the model's input, those that x lacks zeros.
func (s *session) enter(e *entry, x *tensor.Tensor, n int) {
	shape := append([]int{n}, e.shape...)
	if e.bare {
		shape = e.shape
	}
	whole := kindOf(e.elem) != float && e.read != asFloats
	switch {
	case s.x != nil && size(s.x.shape) == size(shape):
	case whole:
		s.x = &value{kind: kindOf(e.elem), elem: e.elem, i: make([]int64, size(shape))}
	default:
		s.x = &value{kind: float, f: make([]float32, size(shape))}
	}
	s.x.shape, s.x.diff, s.x.d, s.x.other = shape, e.read != asSymbols, nil, nil
	s.batch, s.estimated = n, whole && s.x.diff
	if !whole {
		clear(s.x.f[copy(s.x.f, x.Data):])
		return
	}
	clear(s.x.i)
	for i, v := range x.Data {
		s.x.i[i] = rounded(v, e.elem)
	}
}
