package onnx

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
)

// fault is what an operator panics with where a graph asks for what cannot
// be; step turns it into an error that names the node.
type fault struct {
	text     string
	tooLarge bool // smaller batches may help
}

// run evaluates a graph and pulls gradients back through what it did. It
// belongs to one goroutine at a time.
type run struct {
	k         *kernel.Engine
	keep      bool // record a tape
	loose     int  // reshapes take batch rows in the place of this many; 0: as they are
	batch     int  // rows of the model's input
	estimated bool // a gradient passes straight through a rounding
	results   arena
	scratch   arena // of a backward pass
	tape      []step
	values    []*value // by slot
}

// step is how the gradient of out reaches what it was made of.
type step struct {
	out  *value
	back func()
}

// call is one evaluation of a node.
type call struct {
	*run
	n  *node
	in []*value // nil: left out
}

// operator computes a node's outputs. What it makes by the run's methods
// carries its gradient.
type operator func(c *call) []*value

// fail ends the evaluation with an error.
func (c *call) fail(format string, args ...any) { panic(fault{text: fmt.Sprintf(format, args...)}) }

// record notes that out was made of ins: back pulls out.d back to them.
func (r *run) record(out *value, back func(), ins ...*value) {
	for _, v := range ins {
		out.diff = out.diff || v.diff
	}
	if out.diff && r.keep {
		r.tape = append(r.tape, step{out, back})
	}
}

// add adds a gradient to v; d stays the caller's.
func (r *run) add(v *value, d []float32) {
	switch {
	case !v.diff:
	case v.d == nil:
		v.d = r.scratch.take(len(d))
		copy(v.d, d)
	default:
		r.k.Add(v.d, d)
	}
}

// pass gives a gradient to v; d belongs to v from then on.
func (r *run) pass(v *value, d []float32) {
	switch {
	case !v.diff:
	case v.d == nil:
		v.d = d
	default:
		r.k.Add(v.d, d)
	}
}

// step evaluates a node.
func (r *run) step(n *node, in []*value) (out []*value, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case fault:
			k := sdk.InvalidArgument
			if p.tooLarge {
				k = sdk.ResourceExhausted
			}
			err = sdk.Errorf(k, "%v: %s", n, p.text)
		default: // an index out of range and the like: shapes that no operator foresaw
			err = sdk.Errorf(sdk.Internal, "%v: %v", n, p)
		}
	}()
	for i, v := range in {
		if v != nil && v.kind == opaque {
			return nil, sdk.Errorf(sdk.InvalidArgument, "%v: input %d is of a type that is not supported", n, i)
		}
	}
	return n.do(&call{run: r, n: n, in: in}), nil
}

// forward evaluates the graph's nodes on the input; ctx is asked between them.
func (r *run) forward(ctx context.Context, g *graph, x *value) error {
	r.results.reset()
	r.tape = r.tape[:0]
	r.values = append(r.values[:0], g.consts...)
	r.values[g.input] = x
	for _, v := range g.given {
		r.values[v.slot] = r.repeat(v.row, r.batch)
	}
	for _, s := range g.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		in := make([]*value, len(s.in))
		for i, slot := range s.in {
			if slot >= 0 {
				in[i] = r.values[slot]
			}
		}
		out, err := r.step(s.node, in)
		if err != nil {
			return err
		}
		for i, slot := range s.out {
			if slot < 0 {
				continue
			}
			if i >= len(out) || out[i] == nil {
				return sdk.Errorf(sdk.Unimplemented, "%v: its output %d is not supported", s.node, i)
			}
			r.values[slot] = out[i]
		}
	}
	return nil
}

// backward starts from gradients of values, in the order of their shapes, and
// returns the one at x, which stays the run's; nil is zero.
func (r *run) backward(x *value, seeds map[*value][]float32, order []*value) []float32 {
	r.scratch.reset()
	x.d = nil
	for _, s := range r.tape {
		s.out.d = nil
	}
	for _, v := range order {
		r.add(v, seeds[v])
	}
	for i := len(r.tape) - 1; i >= 0; i-- {
		if s := r.tape[i]; s.out.d != nil {
			s.back()
		}
	}
	return x.d
}
