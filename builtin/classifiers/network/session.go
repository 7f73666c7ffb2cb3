package network

import (
	"github.com/vaeguard/vaeguard/builtin/classifiers/tape"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// session is an engine and a workspace for one call at a time. Between calls
// it keeps the activations of its last forward pass, so that a pullback need
// not repeat it.
type session struct {
	tape.Mark
	k *kernel.Engine
	w *nn.Workspace

	x       *tensor.Tensor // of the last forward pass, where its front went in blocks
	free    chan *lane
	between []float32 // what the front made of it
}

func newSession() (*session, error) {
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		return nil, err
	}
	return &session{k: k}, nil
}

// Close ends the engine's workers.
func (s *session) Close() { s.k.Close() }

// workspace holds at least n rows.
func (s *session) workspace(n *net, rows int) *nn.Workspace {
	if s.w == nil || s.w.Batch() < rows {
		s.w = nn.NewWorkspace(s.k, n, max(rows, 1), nn.Inference)
		s.Drop()
	}
	return s.w
}

// forward runs the network up to layer last, keeps the results of the layers
// in wanted (copies, by index; nil: it may be pulled back from), and marks the session with the pass,
// which 0 means that no pullback will want.
func (s *session) forward(n *net, x *tensor.Tensor, last int, wanted map[int]*tensor.Tensor, pass uint64) error {
	w := s.workspace(n, x.N())
	s.Set(pass)
	lowest := last
	for i := range wanted {
		lowest = min(lowest, i)
	}
	from, y := 0, x
	s.x = nil
	if n.front.serves(x.N(), lowest) {
		var err error
		if y, err = s.frontForward(n, x); err != nil {
			s.Drop()
			return err
		}
		if from = n.front.to; pass != 0 {
			s.x = x
		}
	} else {
		y = n.scaled(w, x)
	}
	for i, l := range n.seq.Layers()[from : last+1] {
		y = l.Forward(w, y)
		if t := wanted[from+i]; t != nil {
			copy(t.Data, y.Data)
		}
	}
	return nil
}

// backward pulls the cotangents of layers, by index, back to x.
func (s *session) backward(n *net, cotangents map[int]*tensor.Tensor, last int) (*tensor.Tensor, error) {
	var dy *tensor.Tensor
	all, to := n.seq.Layers(), 0
	if s.x != nil {
		to = n.front.to
	}
	for i := last; i >= to; i-- {
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
	s.Used()
	switch {
	case dy == nil:
		return nil, nil
	case s.x != nil:
		return s.frontBackward(n, s.x, dy)
	}
	n.unscale(s.k, dy)
	return dy.Clone(), nil
}
