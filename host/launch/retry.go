package launch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
)

// gone reports whether a call failed because the process died. On a busy
// machine the connection may end well before the process is seen to: then the
// wait is longer.
func gone(p *process, err error) bool {
	switch sdk.KindOf(err) {
	case sdk.Unavailable, sdk.Internal:
		return p.run != nil && (p.run.dead(exitNotice) || p.disconnected() && p.run.dead(killGrace))
	}
	return false
}

// try makes one idempotent call on a replica, and makes it again in a new
// process if it was the process that failed. timeout 0 is none.
func try[T any](ctx context.Context, c *Classifier, r *replica, op string, timeout time.Duration, call func(context.Context, *process) (T, error)) (T, error) {
	var zero T
	c.closing.RLock()
	defer c.closing.RUnlock()
	r.calls.Add(1)
	defer r.calls.Add(-1)
	outer := ctx
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	for attempt := 0; ; attempt++ {
		p, err := r.process(ctx)
		if err != nil && outer.Err() == nil && c.life.Err() != nil {
			err = c.fault(op, nil, errClosed)
		}
		if err != nil {
			return zero, err
		}
		v, hung, err := once(ctx, p, timeout, call)
		switch {
		case err == nil:
			r.worked(p)
			return v, nil
		case over(outer) != nil:
			if errors.Is(over(outer), context.DeadlineExceeded) && r.ranOut(p, timeout) {
				r.lost(p, c.fault(op, p, sdk.Errorf(sdk.Unavailable, "no call was answered for %v, so it was killed", timeout)))
			}
			return zero, fmt.Errorf("plugin %s: %s: %w", c.cmd.Name, op, over(outer))
		case ctx.Err() != nil:
			return zero, c.fault(op, nil, errClosed)
		case hung:
			fault := c.fault(op, p, sdk.Errorf(sdk.Unavailable, "no answer within %v, so it was killed: %w", timeout, context.DeadlineExceeded))
			r.lost(p, fault)
			return zero, fault
		case gone(p, err):
			err = sdk.Errorf(sdk.Unavailable, "it crashed")
		case !errors.Is(err, sdk.Unavailable):
			return zero, c.answered(op, p, err)
		}
		fault := c.fault(op, p, err) // before the kill, which is not its own end
		r.lost(p, fault)
		if attempt >= c.o.RestartBudget {
			return zero, givenUp(fault, attempt)
		}
	}
}

// over is the error of a context that has ended, or whose deadline has come: the
// plugin is told the deadline, and may give up before the timer goes off here.
func over(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(end) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// once is one attempt; hung says that its own deadline has passed.
func once[T any](ctx context.Context, p *process, timeout time.Duration, call func(context.Context, *process) (T, error)) (v T, hung bool, err error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = patient(ctx, timeout)
		defer cancel()
	}
	v, err = call(ctx, p)
	return v, err != nil && late(ctx), err
}

// givenUp adds to a fault that it has happened too often.
func givenUp(err error, restarts int) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	last := *e
	last.Err = fmt.Errorf("%w; gave up after %d restarts", e.Err, restarts)
	return &last
}
