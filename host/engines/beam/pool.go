package vaebeam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
)

// shared are the detectors of this worker. Runners make an instance of a DoFn for each
// bundle that they run at once, and Beam's worker in Go ends them without Teardown: a
// detector in each would be a classifier's process in each, and leave it behind.
var shared pool

// pool holds a detector for each job, which all of its bundles use at once.
type pool struct {
	mu   sync.Mutex
	open map[string]*opened // by the job in JSON
}

// opened is a detector in use, or idle.
type opened struct {
	*host.Detector
	users    int
	failed   bool          // for others it is opened anew
	restarts int           // that were counted
	keep     time.Duration // how long it may be idle
	idle     *time.Timer
}

// take gives the detector of a job. The caller gives it back.
func (p *pool) take(ctx context.Context, key string, job Job) (*opened, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.open[key]
	if o == nil {
		d, err := host.OpenContext(ctx, job.Detector, builtin.Components(), host.OpenOptions{
			Base: job.Base, Classifier: job.Classifier, AllowCommand: job.AllowCommand, AllowLock: job.AllowLock,
		})
		if err != nil {
			return nil, err
		}
		if d.State().Threshold == nil {
			return nil, errors.Join(fmt.Errorf("detector %s has no threshold: set one with vaeguard calibrate", job.Detector), d.Close())
		}
		o = &opened{Detector: d, keep: cmp.Or(job.Idle, 10*time.Second)}
		o.idle = time.AfterFunc(o.keep, func() { p.expire(key, o) })
		if p.open == nil {
			p.open = map[string]*opened{}
		}
		p.open[key] = o
	}
	o.idle.Stop()
	o.users++
	return o, nil
}

// give ends a use. A detector that failed is not used again, and closed after its
// last use; others are kept for a while.
func (p *pool) give(key string, o *opened, failed bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o.users--
	if failed && !o.failed {
		o.failed = true
		delete(p.open, key)
	}
	switch {
	case o.users > 0:
		return nil
	case o.failed:
		return o.Close()
	}
	o.idle.Reset(o.keep)
	return nil
}

// expire closes a detector that nobody uses.
func (p *pool) expire(key string, o *opened) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.users == 0 && p.open[key] == o {
		delete(p.open, key)
		_ = o.Close()
	}
}

// restarts is how often the detector's plugin was restarted since that was asked last.
func (p *pool) restarts(o *opened) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := o.Classifier.Restarts()
	more := n - o.restarts
	o.restarts = n
	return more
}
