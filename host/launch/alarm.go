package launch

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errLate is the cause of a context whose patience is at an end.
var errLate = errors.New("no answer in time")

const (
	// alarmSteps is in how many steps an alarm waits, each at least alarmLeast: a
	// longer pause than two steps is time in which this process did not run.
	alarmSteps = 16
	alarmLeast = 5 * time.Millisecond
	alarmMost  = 5 * time.Second
)

// alarm rings once this process has run for some time. A host that was stopped, as by
// Ctrl-Z, and goes on does not hold the time between against its plugin, whose answer
// may be there: a timer would ring before it is read.
type alarm struct {
	mu   sync.Mutex
	left time.Duration
	full time.Duration
	step time.Duration
	last time.Time
	t    *time.Timer // nil: over
	ring func()
}

// newAlarm calls ring, in a goroutine of its own, after d.
func newAlarm(d time.Duration, ring func()) *alarm {
	a := &alarm{left: d, full: d, step: min(max(d/alarmSteps, alarmLeast), alarmMost), last: time.Now(), ring: ring}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.t = time.AfterFunc(min(a.step, d), a.tick)
	return a
}

func (a *alarm) tick() {
	a.mu.Lock()
	if a.t == nil {
		a.mu.Unlock()
		return
	}
	now := time.Now()
	a.left -= ran(now.Sub(a.last), a.step)
	a.last = now
	if a.left > 0 {
		a.t.Reset(min(a.step, a.left))
		a.mu.Unlock()
		return
	}
	a.t = nil
	a.mu.Unlock()
	a.ring()
}

// ran is how much of the time between two looks counts: two steps at most.
func ran(passed, step time.Duration) time.Duration { return min(passed, 2*step) }

// again begins from the start, unless it has rung.
func (a *alarm) again() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left, a.last = a.full, time.Now()
}

// stop ends the wait.
func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.t != nil {
		a.t.Stop()
		a.t = nil
	}
}

// patient is ctx with an end after d of this process's time, whose cause is errLate.
func patient(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := newAlarm(d, func() { cancel(errLate) })
	return ctx, func() {
		a.stop()
		cancel(nil)
	}
}

// late reports whether ctx ended because its patience did.
func late(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errLate) }
