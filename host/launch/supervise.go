package launch

import (
	"context"
	"errors"
	"fmt"
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
	p        *process  // nil: to be started
	failures int       // processes lost since the last call that succeeded
	cause    error     // of the last loss
	starting *starting // a start under way; nil: none
	barred   error     // what calls get until again; nil: a start is tried
	again    time.Time
	late     time.Time // when the first of the calls ran out of time that none has succeeded since; zero: none did
}

// starting is a start under way. Who waits for it may leave; it goes on, so that
// callers with little time do not keep each other from ever having a process.
type starting struct {
	done chan struct{}
	err  error // valid once done is closed
}

// current is the process, or nil.
func (r *replica) current() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.p
}

// process is the running process; it has one started if there is none. Once the
// budget is used up that fails at once, except for a try now and then.
func (r *replica) process(ctx context.Context) (*process, error) {
	for {
		p, s, err := r.offer()
		if p != nil || err != nil {
			return p, err
		}
		select {
		case <-s.done:
			if s.err != nil {
				return nil, s.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// offer is the process, else a start under way.
func (r *replica) offer() (*process, *starting, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.c.closed.Load():
		return nil, nil, r.c.fault("call", nil, errClosed)
	case r.p != nil:
		return r.p, nil, nil
	case r.starting == nil && r.barred != nil && time.Now().Before(r.again):
		return nil, nil, r.barred
	case r.starting == nil:
		r.starting = &starting{done: make(chan struct{})}
		go r.begin(r.starting, r.barred == nil)
	}
	return nil, r.starting, nil
}

// begin starts a process, as often as the budget allows, or else once.
func (r *replica) begin(s *starting, often bool) {
	p, failures, err := r.start(r.c.life, often)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starting, s.err, r.failures = nil, err, failures
	switch {
	case err == nil:
		if r.p, r.barred = p, nil; failures > 0 {
			r.c.restarts.Add(1)
		}
	case failures > 0 && r.c.life.Err() == nil:
		r.bar(err)
	}
	close(s.done)
}

// bar keeps calls from starting a process for a while; r is locked.
func (r *replica) bar(err error) {
	r.cause, r.barred, r.again = err, err, time.Now().Add(r.backoff(r.failures))
}

// start is the work of begin; it counts the processes lost so far.
func (r *replica) start(ctx context.Context, often bool) (p *process, failures int, err error) {
	r.mu.Lock()
	failures, cause := r.failures, r.cause
	r.mu.Unlock()
	for {
		if failures > 0 {
			if often {
				if err := r.pause(ctx, failures); err != nil {
					return nil, failures, err
				}
			}
			r.c.o.Logger.Warn("restarting the plugin", "plugin", r.c.cmd.Name, "attempt", failures, "cause", cause)
		}
		p, err := r.c.launch(ctx)
		switch {
		case err == nil:
			return p, failures, nil
		case ctx.Err() != nil, failures == 0 && (!errors.Is(err, sdk.Unavailable) || !killed(err)):
			return nil, failures, err // what ends a first start by itself will end the next
		}
		failures, cause = failures+1, err
		switch {
		case !errors.Is(err, sdk.Unavailable):
			return nil, failures, err
		case failures > r.c.o.RestartBudget:
			return nil, failures, givenUp(err, r.c.o.RestartBudget)
		}
	}
}

// killed reports whether a plugin ended by a signal.
func killed(err error) bool {
	var e *Error
	return errors.As(err, &e) && strings.HasPrefix(e.Exit, "signal:")
}

// pause waits before a restart: nothing before the first in a row.
func (r *replica) pause(ctx context.Context, failures int) error {
	if failures < 2 {
		return nil
	}
	select {
	case <-time.After(r.backoff(failures)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff is the pause after a number of lost processes in a row.
func (r *replica) backoff(failures int) time.Duration {
	return min(r.c.o.Backoff<<min(max(failures-2, 0), 16), maxBackoff)
}

// lost gives p up: it died, or it hangs and dies now.
func (r *replica) lost(p *process, cause error) {
	p.kill()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p != p {
		return
	}
	r.p, r.cause, r.late = nil, cause, time.Time{}
	if r.failures++; r.failures > r.c.o.RestartBudget {
		r.bar(givenUp(cause, r.c.o.RestartBudget))
	}
}

// worked forgets earlier failures.
func (r *replica) worked(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p == p {
		r.failures, r.cause, r.barred, r.late = 0, nil, nil, time.Time{}
	}
}

// ranOut notes a call whose caller's time has passed, and reports whether none has
// been answered for as long as one call may take: callers with little time would
// never find out that a process hangs.
func (r *replica) ranOut(p *process, timeout time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p != p || timeout <= 0 {
		return false
	}
	if r.late.IsZero() {
		r.late = time.Now()
	}
	return time.Since(r.late) > timeout
}

// end ends the process, and before it a start under way: the classifier's life is
// over, and so no other begins.
func (r *replica) end() {
	r.mu.Lock()
	s := r.starting
	r.mu.Unlock()
	if s != nil {
		<-s.done
	}
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
	if c.lent != nil {
		p, err := borrow(c.lent, c.o.Logger)
		return c.configured(ctx, p, err)
	}
	v, err := c.o.Command.verify(ctx, c.sockets.path) // also at a restart: the file may have changed
	if err != nil {
		return nil, err
	}
	if v.sum != c.cmd.sum {
		v.close()
		return nil, c.fault("pin", nil, fmt.Errorf("the plugin's file changed while it ran: its sha256 is %s now; it was not restarted", v.sum))
	}
	c.mu.RLock()
	conf, writes, fitted := c.config, c.writes, c.fitted
	c.mu.RUnlock()
	b, err := c.o.box(v, conf, writes...)
	if err != nil {
		v.close()
		return nil, v.fault("start", nil, err)
	}
	if b != nil && fitted {
		b.Read = append(b.Read, conf.BaseDir)
	}
	p, err := spawn(ctx, v, &c.o, b, c.sockets.path, &c.hide)
	return c.configured(ctx, p, err)
}

// configured is a fresh process with its config, unless there is an error already.
func (c *Classifier) configured(ctx context.Context, p *process, err error) (*process, error) {
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
	conf, before := c.config, c.identity
	c.mu.RUnlock()
	op := "describe"
	info, err := p.rpc.Info(call)
	first := info.Schema
	if err == nil && !before.known && c.o.CheckSchema != nil {
		if err := c.o.CheckSchema(first); err != nil {
			return err
		}
	}
	if err == nil && before.known && !sameJSON(before.schema, first) { // it says which settings are secret
		return c.fault(op, p, errors.New("it came back as another model: the schema of its config has changed"))
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
	if before.known {
		if what := before.changed(info); what != "" {
			return c.fault("describe", p, fmt.Errorf("it came back as another model: %s", what))
		}
	}
	if err := c.describe(first, info); err != nil {
		return c.fault(OpPreprocess, p, err)
	}
	return nil
}
