package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/secret"
)

// exitNotice is how long after a failed call the plugin's death may show.
const exitNotice = 150 * time.Millisecond

// maxBackoff is the longest pause before a restart.
const maxBackoff = 5 * time.Second

var errClosed = errors.New("the classifier is closed")

// replica is one process slot, restarted when its process dies.
type replica struct {
	c     *Classifier
	calls atomic.Int32 // under way

	mu       sync.Mutex
	p        *process // nil: to be started
	failures int      // processes lost since the last call that succeeded
	cause    error    // of the last loss
}

// current is the process, or nil.
func (r *replica) current() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.p
}

// process is the running process; it starts one if there is none and the
// budget allows it. Errors are final.
func (r *replica) process(ctx context.Context) (*process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.c.closed.Load() {
			return nil, r.c.fault("call", nil, errClosed)
		}
		if r.p != nil {
			return r.p, nil
		}
		if r.failures > r.c.o.RestartBudget {
			return nil, givenUp(r.cause, r.c.o.RestartBudget)
		}
		if r.failures > 0 {
			if err := r.pause(ctx); err != nil {
				return nil, err
			}
			r.c.o.Logger.Warn("restarting the plugin", "plugin", r.c.cmd.Name, "attempt", r.failures, "cause", r.cause)
		}
		p, err := r.c.launch(ctx)
		switch {
		case err == nil:
			r.p = p
		case ctx.Err() != nil, !errors.Is(err, sdk.Unavailable), r.failures == 0 && !killed(err):
			return nil, err // what ends a first start by itself will end the next
		default:
			r.failures, r.cause = r.failures+1, err
		}
	}
}

// killed reports whether a plugin ended by a signal.
func killed(err error) bool {
	var e *Error
	return errors.As(err, &e) && strings.HasPrefix(e.Exit, "signal:")
}

// pause waits before a restart: nothing before the first in a row.
func (r *replica) pause(ctx context.Context) error {
	if r.failures < 2 {
		return nil
	}
	d := r.c.o.Backoff << min(r.failures-2, 16)
	select {
	case <-time.After(min(d, maxBackoff)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lost gives p up: it died, or it hangs and dies now.
func (r *replica) lost(p *process, cause error) {
	p.kill()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p == p {
		r.p, r.cause = nil, cause
		r.failures++
	}
}

// worked forgets earlier failures.
func (r *replica) worked(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p == p {
		r.failures, r.cause = 0, nil
	}
}

func (r *replica) end() {
	r.mu.Lock()
	p := r.p
	r.p = nil
	r.mu.Unlock()
	if p != nil {
		p.end()
	}
}

// launch starts a process and configures it.
func (c *Classifier) launch(ctx context.Context) (*process, error) {
	v, err := c.o.Command.verify(c.sockets.path) // also at a restart: the file may have changed
	if err != nil {
		return nil, err
	}
	if v.sum != c.cmd.sum {
		v.close()
		return nil, c.fault("pin", nil, fmt.Errorf("the plugin's file changed while it ran: its sha256 is %s now; it was not restarted", v.sum))
	}
	p, err := spawn(ctx, v, &c.o, c.sockets.path, &c.hide)
	if err != nil {
		return nil, err
	}
	if err := c.configure(ctx, p); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// configure hands the config to a fresh process, and describes it.
func (c *Classifier) configure(ctx context.Context, p *process) error {
	call, cancel := patient(ctx, c.o.StartTimeout)
	defer cancel()
	c.mu.RLock()
	conf, before := c.config, c.wire
	c.mu.RUnlock()
	op := "describe"
	info, err := p.rpc.Info(call)
	if err == nil && before.Name == "" && c.o.CheckSchema != nil {
		if err := c.o.CheckSchema(info.Schema); err != nil {
			return err
		}
	}
	if err == nil {
		c.hide.add(secret.Values(info.Schema, conf.JSON))
		op = "configure"
		data := conf.InputShape
		conf.InputShape = c.o.Preprocess.Told(data, info.Layout)
		err = p.rpc.Configure(call, conf)
		if err != nil && !conf.InputShape.Equal(data) {
			err = fmt.Errorf("%w; by preprocess.layout it was told the shape %v: leave that key out if the plugin turns images itself", err, conf.InputShape)
		}
	}
	if err == nil {
		op = "describe"
		info, err = p.rpc.Info(call)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fmt.Errorf("plugin %s: %s: %w", c.cmd.Name, op, ctx.Err())
	case late(call):
		return c.fault(op, p, fmt.Errorf("no answer within %v", c.o.StartTimeout))
	case errors.Is(err, sdk.Unimplemented):
		return c.fault("handshake", p, fmt.Errorf("it does not serve vaeguard.classifier.v1: %w", err))
	case gone(p, err):
		return c.fault(op, p, sdk.Errorf(sdk.Unavailable, "it crashed"))
	default:
		return c.fault(op, p, err)
	}
	if info.Ready {
		if err := info.Validate(); err != nil {
			return c.fault("describe", p, err)
		}
	}
	if before.Name != "" && (before.Digest != info.Digest || !slices.Equal(before.InputShape, info.InputShape) || before.NumClasses != info.NumClasses) {
		return c.fault("describe", p, fmt.Errorf("it came back as another model: %s %v, was %s %v", info.Digest, info.InputShape, before.Digest, before.InputShape))
	}
	if err := c.describe(info); err != nil {
		return c.fault(OpPreprocess, p, err)
	}
	return nil
}

// gone reports whether a call failed because the process died. On a busy
// machine the connection may end well before the process is seen to: then the
// wait is longer.
func gone(p *process, err error) bool {
	switch sdk.KindOf(err) {
	case sdk.Unavailable, sdk.Internal:
		return p.run.dead(exitNotice) || p.disconnected() && p.run.dead(killGrace)
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
		if err != nil {
			return zero, err
		}
		v, hung, err := once(ctx, p, timeout, call)
		switch {
		case err == nil:
			r.worked(p)
			return v, nil
		case outer.Err() != nil:
			return zero, fmt.Errorf("plugin %s: %s: %w", c.cmd.Name, op, outer.Err())
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
