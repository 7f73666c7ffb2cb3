package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/sdk"
)

const (
	lookout       = time.Second     // between two looks at a classifier that is away
	canaryTime    = time.Minute     // that a new version's canaries may take
	canaryTimeNow = 5 * time.Second // those of one that is away
)

// open opens a candidate and holds it to its canaries.
func (m *Models) open(ctx context.Context, e *entry, c candidate) (_ *version, err error) {
	o := c.options()
	o.Options = m.o.Host
	d, err := host.OpenContext(ctx, c.path, m.o.Components, o)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", e.name, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("model %s: %w", e.name, errors.Join(err, d.Close()))
		}
	}()
	if d.State().Threshold == nil {
		return nil, fmt.Errorf("detector %s has no threshold: set one with vaeguard calibrate", c.path)
	}
	check, cancel := context.WithTimeout(ctx, canaryTime)
	defer cancel()
	same, err := d.CheckCanaries(check)
	if err != nil {
		return nil, err
	}
	if !same {
		m.o.Logger.Warn("the canaries have other last bits than when the detector was made", "model", e.name, "version", c.version)
	}
	b := c.model.Batching
	v := &version{candidate: c, free: make(chan struct{})}
	v.Guard = judge.New(d, judge.Options{
		Name: e.name, Version: c.versionOf(d), MaxRows: b.MaxRows, MaxDelay: time.Duration(b.MaxDelay), Concurrency: b.Concurrency,
		Queue: c.limits.Queue, Deadline: time.Duration(c.limits.Deadline), ClientRows: c.limits.ClientRows,
		Skip: 1 - c.model.Budget.Sample, ExtraRows: c.model.Budget.ExtraRows, Watchers: m.o.Watchers, Tracer: m.o.Tracer, Logger: m.o.Logger,
	})
	look, stop := context.WithCancel(context.Background())
	v.stop = stop
	go m.lookOut(look, v)
	return v, nil
}

// lookOut asks a classifier that was found away until it answers again, and keeps
// the model from being ready meanwhile.
func (m *Models) lookOut(ctx context.Context, v *version) {
	t := time.NewTicker(lookout)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		why := ""
		if v.Away() {
			check, cancel := context.WithTimeout(ctx, canaryTimeNow)
			_, err := v.Detector().CheckCanaries(check)
			cancel()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				why = awayReason
			} else {
				v.Back()
			}
		}
		m.mu.Lock()
		v.away = why
		m.mu.Unlock()
	}
}

const awayReason = "the classifier is away"

// passing reports whether an error may be gone by itself: the classifier, or its
// server, is away.
func passing(err error) bool {
	switch sdk.KindOf(err) {
	case sdk.Unavailable, sdk.FailedPrecondition:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}
