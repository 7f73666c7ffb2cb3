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
	room
	k         *kernel.Engine
	keep      bool // record a tape
	loose     int  // reshapes take batch rows in the place of this many; 0: as they are
	batch     int  // rows of the model's input
	estimated bool // a gradient passes straight through a rounding
	results   arena
	scratch   arena // of a backward pass
	kernels   int64 // bytes of the engine's own scratch
	forwards  int64 // bytes made by the forward pass, apart from its results
	tape      []step
	at        *node    // that is evaluated
	values    []*value // by slot
}

// step is how the gradient of out reaches what it was made of.
type step struct {
	out  *value
	back func()
	n    *node // that made it; nil: none did
}

// newRun evaluates graphs within a.
func newRun(k *kernel.Engine, a allowance) *run { return &run{room: newRoom(a), k: k} }

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
func (c *call) fail(format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case []int:
			args[i] = few(a)
		case []int64:
			args[i] = few(a)
		case []float32:
			args[i] = few(a)
		case string:
			args[i] = brief(a)
		}
	}
	panic(fault{text: fmt.Sprintf(format, args...)})
}

// few are the first of many numbers, for an error.
func few[T any](xs []T) any {
	if len(xs) <= maxRank {
		return xs
	}
	return fmt.Sprintf("%v and %d more", xs[:maxRank], len(xs)-maxRank)
}

// record notes that out was made of ins: back pulls out.d back to them.
func (r *run) record(out *value, back func(), ins ...*value) {
	r.claim(1, bytesValue)
	for _, v := range ins {
		out.diff = out.diff || v.diff
	}
	if out.diff && r.keep {
		r.tape = append(r.tape, step{out, back, r.at})
	}
}

// add adds a gradient to v; d stays the caller's.
func (r *run) add(v *value, d []float32) {
	switch {
	case !v.diff:
	case v.d == nil:
		v.d = r.spare(len(d))
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

// rescue makes an error of what an operator panics with; deferred.
func rescue(where func() string, err *error) {
	switch p := recover().(type) {
	case nil:
	case fault:
		k := sdk.InvalidArgument
		if p.tooLarge {
			k = sdk.ResourceExhausted
		}
		*err = sdk.Errorf(k, "%s: %s", where(), p.text)
	default: // an index out of range and the like: shapes that no operator foresaw
		*err = sdk.Errorf(sdk.Internal, "%s: %v", where(), p)
	}
}

// step evaluates a node.
func (r *run) step(n *node, in []*value) (out []*value, err error) {
	defer rescue(n.String, &err)
	r.at = n
	defer func() { r.at = nil }()
	r.claim(len(in)+len(n.out), bytesValue)
	r.spend(1, workNode)
	for _, v := range in {
		if v != nil {
			r.spend(len(v.f) + len(v.i))
		}
	}
	for i, v := range in {
		if v != nil && v.kind == opaque {
			return nil, sdk.Errorf(sdk.InvalidArgument, "%v: input %d is of a type that is not supported", n, i)
		}
	}
	return n.do(&call{run: r, n: n, in: in}), nil
}

// forward evaluates the graph's nodes on the input; ctx is asked between them.
func (r *run) forward(ctx context.Context, g *graph, x *value) error {
	if err := r.seat(g, x); err != nil {
		return err
	}
	for _, s := range g.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		in := make([]*value, len(s.in)) // as many as the file names
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
	r.forwards = r.made
	return nil
}

// seat puts the input and what is known of other values into their places.
func (r *run) seat(g *graph, x *value) (err error) {
	defer rescue(func() string { return "inputs" }, &err)
	r.results.reset()
	r.tape = r.tape[:0]
	r.values = append(r.values[:0], g.consts...)
	r.values[g.input] = x
	for _, v := range g.given {
		r.values[v.slot] = r.repeat(v.row, r.batch)
	}
	return nil
}

// backward starts from gradients of values, in the order of their shapes, and
// returns the one at x, which stays the run's; nil is zero.
func (r *run) backward(x *value, seeds map[*value][]float32, order []*value) (d []float32, err error) {
	defer rescue(func() string {
		if r.at == nil {
			return "the backward pass"
		}
		return "the backward pass of " + r.at.String()
	}, &err)
	r.scratch.reset()
	r.at, r.done, r.most = nil, 0, times(workBack, times(r.work, r.per))
	x.d = nil
	for _, s := range r.tape {
		s.out.d = nil
	}
	for _, v := range order {
		r.add(v, seeds[v])
	}
	for i := len(r.tape) - 1; i >= 0; i-- {
		if s := r.tape[i]; s.out.d != nil {
			r.at = s.n
			r.spend(len(s.out.d), workElement)
			s.back()
		}
	}
	return x.d, nil
}
