package network

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// front are a net's first layers where they compute little for each number that
// they write: a convolution of one channel, ReLU, pooling. On a batch they wait for
// memory: 64 rows of 28×28 make 12.8 MB of 64 filters. So each thread takes some rows
// through all of them, in room of its own that stays in its cache, and only what the
// last one writes is kept of the batch. A pullback takes the rows through once more,
// which costs less than to fetch what they left. The bits are those of the layers one
// after another: rows do not depend on each other.
type front struct {
	to   int // the layers before this one; 0: the net has none
	rows int // at most, of a block
}

const (
	frontNumbers = 1 << 16 // at most, of a layer's input and output for a block of more than one row
	frontParams  = 1 << 14 // at most, of a layer: they are read again for each block
	frontFLOPs   = 32      // at most, of a layer for each number of its input and output
)

// findFront takes the first layers while they are of that kind, two at least.
func findFront(seq *nn.Sequence) front {
	f, in, most, busy := front{}, seq.In(), 0, 0
	for i, l := range seq.Layers() {
		numbers, params := in.Size()+l.Out().Size(), 0
		for _, p := range l.Params() {
			params += len(p.Value.Data)
		}
		var flops int64
		d, ok := l.(nn.Described)
		if ok {
			flops = d.FLOPs()
		}
		if !ok || params > frontParams || flops > frontFLOPs*int64(numbers) {
			break
		}
		if flops > 0 {
			busy++
		}
		f.to, in, most = i+1, l.Out(), max(most, numbers)
	}
	if busy < 2 {
		return front{}
	}
	f.to = min(f.to, len(seq.Layers())-1) // the result is of the batch
	f.rows = max(1, frontNumbers/most)
	return f
}

// serves reports whether a batch of n rows, of which the layers from lowest on are
// wanted, goes through the front in blocks.
func (f front) serves(n, lowest int) bool { return f.to > 0 && lowest >= f.to && n > f.rows }

// lane is a thread's room for one block.
type lane struct {
	k *kernel.Engine
	w *nn.Workspace
}

// lanes of a session, as many as its engine has threads.
func (s *session) lanes(n *net) (chan *lane, error) {
	if s.free != nil {
		return s.free, nil
	}
	free := make(chan *lane, s.k.Threads())
	for range cap(free) {
		k, err := kernel.New(kernel.Options{Threads: 1, Level: s.k.Level()})
		if err != nil {
			return nil, err
		}
		free <- &lane{k: k, w: nn.NewWorkspace(k, n, n.front.rows, nn.Inference)}
	}
	s.free = free
	return free, nil
}

// inBlocks calls f for the rows of each block, on all threads.
func (s *session) inBlocks(n *net, rows int, f func(l *lane, lo, hi int)) error {
	free, err := s.lanes(n)
	if err != nil {
		return err
	}
	s.k.Parallel(rows, n.front.rows, func(lo, hi int) {
		l := <-free
		defer func() { free <- l }()
		for ; lo < hi; lo += n.front.rows {
			f(l, lo, min(lo+n.front.rows, hi))
		}
	})
	return nil
}

// through is what the front makes of a block.
func (l *lane) through(n *net, x *tensor.Tensor) *tensor.Tensor {
	y := n.scaled(l.w, x)
	for _, layer := range n.seq.Layers()[:n.front.to] {
		y = layer.Forward(l.w, y)
	}
	return y
}

// frontForward is what the front makes of a batch.
func (s *session) frontForward(n *net, x *tensor.Tensor) (*tensor.Tensor, error) {
	example := n.seq.Layers()[n.front.to-1].Out()
	if size := x.N() * example.Size(); cap(s.between) < size {
		s.between = kernel.Floats(size)
	}
	y := tensor.From(s.between[:x.N()*example.Size()], append(tensor.Shape{x.N()}, example...)...)
	return y, s.inBlocks(n, x.N(), func(l *lane, lo, hi int) {
		copy(y.Rows(lo, hi).Data, l.through(n, x.Rows(lo, hi)).Data)
	})
}

// frontBackward pulls dy, at the front's result, back to x.
func (s *session) frontBackward(n *net, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx := tensor.New(x.Shape...)
	return dx, s.inBlocks(n, x.N(), func(l *lane, lo, hi int) {
		l.through(n, x.Rows(lo, hi))
		d := dy.Rows(lo, hi)
		for i := n.front.to - 1; i >= 0; i-- {
			d = n.seq.Layers()[i].Backward(l.w, d, nil)
		}
		n.unscale(l.k, d)
		copy(dx.Rows(lo, hi).Data, d.Data)
	})
}
