package launch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// maxCallBytes keeps a call far below gRPC's limit of 2 GiB, whatever the
// plugin's max_batch.
const maxCallBytes = 64 << 20

// maxOutputs is how many numbers of one output are gathered at once, 8 GiB: what a
// plugin declares is not allocated blindly.
const maxOutputs = 1 << 31

// Predict asks for the outputs, cut to the plugin's max_batch.
func (c *Classifier) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	outs, err := c.outputs(ctx, "predict", x, []string{sdk.Output})
	if err != nil {
		return nil, err
	}
	return outs[sdk.Output], nil
}

// Gradient pulls dy back.
func (c *Classifier) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	return c.pull(ctx, x, map[string]*tensor.Tensor{sdk.Output: dy})
}

// Forward keeps the tape in the plugin if it serves Differentiate and takes
// the whole batch in one call; otherwise the Pullback computes the forward pass
// again. The Pullback may be called any number of times, by any goroutine.
func (c *Classifier) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	names := unique(outputs)
	info := c.face()
	if err := c.accepts(x, info.Info); err != nil {
		return nil, nil, err
	}
	if info.Gradient == sdk.NoGradient {
		outs, err := c.outputs(ctx, "forward", x, names)
		return outs, nil, err
	}
	x = x.Clone() // the caller may change its own before it pulls
	if n := x.N(); info.Differentiate && n > 0 && n <= c.limit(x, info.Info) {
		outs, pull, err := c.tape(ctx, info.toPlugin(x), names, info)
		if !errors.Is(err, sdk.ResourceExhausted) || n == 1 {
			if err == nil {
				c.asked.Add(int64(n))
			}
			return outs, pull, err
		}
		c.shrink(n)
	}
	outs, err := c.outputs(ctx, "forward", x, names)
	if err != nil {
		return nil, nil, err
	}
	return outs, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		return c.pull(ctx, x, cots)
	}, nil
}

// tape runs a forward step; x is in the plugin's layout and belongs to the tape.
func (c *Classifier) tape(ctx context.Context, x *tensor.Tensor, names []string, info face) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	r := c.pick()
	type place struct {
		p    *process
		l    *lane
		id   uint64
		outs map[string]*tensor.Tensor
	}
	forward := func(ctx context.Context, p *process) (place, error) {
		l, id, outs, err := p.lanes.forward(ctx, x, names)
		if err == nil {
			err = declared(outs, names, info.Info)
		}
		return place{p, l, id, outs}, err
	}
	at, err := try(ctx, c, r, "forward", c.o.CallTimeout, forward)
	if err != nil {
		return nil, nil, err
	}
	outs := at.outs
	at.outs = nil
	var mu sync.Mutex // guards at
	pull := func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		mu.Lock()
		defer mu.Unlock()
		return try(ctx, c, r, "backward", c.o.CallTimeout, func(ctx context.Context, p *process) (*tensor.Tensor, error) {
			for {
				if at.p == p {
					dx, ok, err := p.lanes.backward(ctx, at.l, at.id, cots, x.Shape)
					if ok {
						return info.toHost(dx), err
					}
				}
				again, err := forward(ctx, p)
				if err != nil {
					return nil, err
				}
				at = again
			}
		})
	}
	return outs, pull, nil
}

// declared checks the shapes of an answer.
func declared(outs map[string]*tensor.Tensor, names []string, info sdk.Info) error {
	for _, name := range names {
		want, err := info.OutputShape(name)
		if err != nil {
			return err
		}
		if got := outs[name].Example(); !got.Equal(want) {
			return sdk.Errorf(sdk.Internal, "its output %q has shape %v, it declared %v", name, got, want)
		}
	}
	return nil
}

// outputs computes named outputs of x, which is NHWC.
func (c *Classifier) outputs(ctx context.Context, op string, x *tensor.Tensor, names []string) (map[string]*tensor.Tensor, error) {
	info := c.face()
	if err := c.accepts(x, info.Info); err != nil {
		return nil, err
	}
	all := make(map[string]*tensor.Tensor, len(names))
	for _, name := range names {
		shape, err := info.OutputShape(name)
		if err != nil {
			return nil, err
		}
		if n := int64(x.N()) * int64(shape.Size()); n > maxOutputs {
			return nil, c.fault(op, nil, sdk.Errorf(sdk.Internal, "it declares %d numbers a row for %q: %d rows have more than %d, the most for one call", shape.Size(), name, x.N(), int64(maxOutputs)))
		}
		all[name] = tensor.Batch(x.N(), shape)
	}
	err := c.each(ctx, op, x, info, func(ctx context.Context, p *process, lo, hi int) error {
		part, err := p.rpc.Outputs(ctx, info.toPlugin(x.Rows(lo, hi)), names...)
		if err != nil {
			return err
		}
		if err := declared(part, names, info.Info); err != nil {
			return err
		}
		for _, name := range names {
			copy(all[name].Rows(lo, hi).Data, part[name].Data)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.asked.Add(int64(x.N()))
	return all, nil
}

// Answered is how many rows the classifier has answered since it was started, for
// predictions or with a way back; gradients without one do not count.
func (c *Classifier) Answered() int64 { return c.asked.Load() }

// pull pulls cotangents of named outputs back without a tape; x is NHWC.
func (c *Classifier) pull(ctx context.Context, x *tensor.Tensor, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
	info := c.face()
	if err := c.accepts(x, info.Info); err != nil {
		return nil, err
	}
	if info.Gradient == sdk.NoGradient {
		return nil, c.fault("gradient", nil, sdk.Errorf(sdk.Unimplemented, "it has no gradient"))
	}
	for _, name := range slices.Sorted(maps.Keys(cots)) {
		if cots[name].N() != x.N() {
			return nil, sdk.Errorf(sdk.InvalidArgument, "cotangent of %q has %d rows, x has %d", name, cots[name].N(), x.N())
		}
	}
	dx := tensor.Batch(x.N(), x.Example())
	err := c.each(ctx, "gradient", x, info, func(ctx context.Context, p *process, lo, hi int) error {
		cut := make(map[string]*tensor.Tensor, len(cots))
		for name, t := range cots {
			cut[name] = t.Rows(lo, hi)
		}
		d, err := p.rpc.Pull(ctx, info.toPlugin(x.Rows(lo, hi)), cut)
		if err != nil {
			return err
		}
		copy(dx.Rows(lo, hi).Data, info.toHost(d).Data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return dx, nil
}

// each calls f for consecutive rows of x, as many at a time as the plugin
// takes, on all replicas at once. The error is that of the lowest rows.
func (c *Classifier) each(ctx context.Context, op string, x *tensor.Tensor, info face, f func(ctx context.Context, p *process, lo, hi int) error) error {
	n := x.N()
	if n == 0 {
		return nil
	}
	step := c.limit(x, info.Info)
	pieces := (n + step - 1) / step
	errs := make([]error, pieces)
	work := func(r *replica, first, stride int) {
		for i := first; i < pieces; i += stride {
			if errs[i] = c.piece(ctx, r, op, i*step, min(n, (i+1)*step), f); errs[i] != nil {
				return
			}
		}
	}
	if len(c.replicas) == 1 || pieces == 1 {
		work(c.pick(), 0, 1)
	} else {
		var wg sync.WaitGroup
		for k, r := range c.replicas {
			wg.Go(func() { work(r, k, len(c.replicas)) })
		}
		wg.Wait()
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// piece makes one call, and halves it if the plugin runs out of memory.
func (c *Classifier) piece(ctx context.Context, r *replica, op string, lo, hi int, f func(ctx context.Context, p *process, lo, hi int) error) error {
	_, err := try(ctx, c, r, op, c.o.CallTimeout, func(ctx context.Context, p *process) (struct{}, error) {
		return struct{}{}, f(ctx, p, lo, hi)
	})
	if !errors.Is(err, sdk.ResourceExhausted) || hi-lo == 1 {
		return err
	}
	c.shrink(hi - lo)
	mid := (lo + hi) / 2
	if err := c.piece(ctx, r, op, lo, mid, f); err != nil {
		return err
	}
	return c.piece(ctx, r, op, mid, hi, f)
}

// shrink remembers that n rows were too many.
func (c *Classifier) shrink(n int) {
	for {
		old := c.rows.Load()
		if old != 0 && old <= int64(n/2) || c.rows.CompareAndSwap(old, int64(max(1, n/2))) {
			return
		}
	}
}

// limit is the most rows of x for one call, at least one.
func (c *Classifier) limit(x *tensor.Tensor, info sdk.Info) int {
	rows := max(1, maxCallBytes/max(1, 4*x.Stride()))
	if info.MaxBatch > 0 {
		rows = min(rows, info.MaxBatch)
	}
	if known := int(c.rows.Load()); known > 0 {
		rows = min(rows, known)
	}
	return rows
}

// pick is the next replica in turn.
func (c *Classifier) pick() *replica {
	return c.replicas[(c.next.Add(1)-1)%uint64(len(c.replicas))]
}

// accepts checks x, NHWC, against the plugin's input.
func (c *Classifier) accepts(x *tensor.Tensor, wire sdk.Info) error {
	if !wire.Ready {
		return c.fault("predict", nil, sdk.Errorf(sdk.FailedPrecondition, "it is not trained, and its config names no weights"))
	}
	c.mu.RLock()
	want := c.info.InputShape
	c.mu.RUnlock()
	if len(x.Shape) == 0 || !x.Example().Equal(want) {
		return sdk.Errorf(sdk.InvalidArgument, "plugin %s: the input has shape %v, the classifier takes N×%v", c.cmd.Name, x.Shape, want)
	}
	return nil
}

func unique(names []string) []string {
	if len(names) == 0 {
		return []string{sdk.Output}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
