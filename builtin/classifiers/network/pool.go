package network

import (
	"sync"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// session is an engine and a workspace for one call at a time. Between calls
// it keeps the activations of its last forward pass, so that a pullback need
// not repeat it.
type session struct {
	k     *kernel.Engine
	w     *nn.Workspace
	tape  uint64 // which forward pass the activations belong to; 0: none that is wanted
	waits bool   // no pullback has used the tape yet
}

// pool hands out sessions.
type pool struct {
	net   *net
	batch int

	mu    sync.Mutex
	free  []*session // the last used is last
	made  int
	tapes uint64
}

// spare is how many sessions may exist before tapes are given up for reuse: a
// pullback without its tape goes forward again.
const spare = 8

// take gives a free session for a forward pass, by preference one whose tape
// nobody waits for.
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
	return &session{k: k}, nil
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

// workspace holds at least n rows.
func (s *session) workspace(n *net, rows int) *nn.Workspace {
	if s.w == nil || s.w.Batch() < rows {
		s.w = nn.NewWorkspace(s.k, n, max(rows, 1), nn.Inference)
		s.tape = 0
	}
	return s.w
}

// forward runs the network up to layer last, keeps the results of the layers
// in wanted (copies, by index), and marks the session with the tape.
func (s *session) forward(n *net, x *tensor.Tensor, last int, wanted map[int]*tensor.Tensor, tape uint64) {
	w := s.workspace(n, x.N())
	s.tape, s.waits = tape, tape != 0
	y := n.scaled(w, x)
	for i, l := range n.seq.Layers()[:last+1] {
		y = l.Forward(w, y)
		if t, ok := wanted[i]; ok {
			copy(t.Data, y.Data)
		}
	}
}

// backward pulls the cotangents of layers, by index, back to x.
func (s *session) backward(n *net, cotangents map[int]*tensor.Tensor, last int) *tensor.Tensor {
	var dy *tensor.Tensor
	all := n.seq.Layers()
	for i := last; i >= 0; i-- {
		if c, ok := cotangents[i]; ok {
			if dy == nil {
				dy = c.Clone() // layers may write there
			} else {
				s.k.Add(dy.Data, c.Data)
			}
		}
		if dy != nil {
			dy = all[i].Backward(s.w, dy, nil)
		}
	}
	s.waits = false
	if dy == nil {
		return nil
	}
	n.unscale(s.k, dy)
	return dy.Clone()
}
