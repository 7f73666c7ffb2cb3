package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/trace"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/judge"
)

// Models are the models of a server. Each has at most one version in use; another
// takes its place at once, once it is open and has given its known answers.
type Models struct {
	o      ModelOptions
	source source

	mu      sync.Mutex
	entries map[string]*entry
	closed  bool
	loads   sync.WaitGroup // versions that are being opened
	retired sync.WaitGroup // versions that are being closed

	closing chan struct{}        // closed by Close
	routed  atomic.Pointer[Spec] // by whose upstreams requests go; the source may be ahead of it
}

var _ judge.Models = (*Models)(nil)

// ModelOptions of a server's models.
type ModelOptions struct {
	Components host.Components
	Host       host.Options
	Watchers   []judge.Watcher
	Logger     hclog.Logger
	Tracer     trace.Tracer // nil: none
}

// Reloads counts versions that were opened, but for the first of each model.
type Reloads struct{ Done, Refused int64 }

// entry is one model.
type entry struct {
	name    string
	loading chan struct{} // has room for one: who loads
	gone    chan struct{} // closed once the file no longer lists it

	// Guarded by Models.mu.
	current  *version // nil: none is in use
	reason   string   // why none is, or why another was refused
	unloaded bool     // on purpose: only Load brings it back
	reloads  Reloads
	failed   string // key of the candidate that was refused last
	refused  string // its version
}

func newModels(src source, o ModelOptions) *Models {
	m := &Models{o: o, source: src, entries: map[string]*entry{}, closing: make(chan struct{})}
	m.routed.Store(src.now())
	return m
}

// entryOf is a model's place, made if the source has it.
func (m *Models) entryOf(name string) (*entry, error) {
	m.mu.Lock()
	e := m.entries[name]
	m.mu.Unlock()
	if e != nil {
		return e, nil
	}
	if !slices.Contains(m.source.names(), name) { // which reads folders: not while requests wait
		return nil, &judge.NotFoundError{Name: name}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[name]; e != nil {
		return e, nil
	}
	e = &entry{name: name, loading: make(chan struct{}, 1), gone: make(chan struct{}), reason: "it is being opened"}
	m.entries[name] = e
	return e, nil
}

// own reports whether a model is served by that name to clients, and not by a server before which the guard stands.
func (m *Models) own(name string) bool {
	m.mu.Lock()
	e := m.entries[name]
	m.mu.Unlock()
	if e == nil {
		return false
	}
	now, listed := m.source.listed(name)
	if before, was := m.routed.Load().listed(name); was { // for as long as requests go as it says
		now, listed = before, true
	}
	return !listed || now.Upstream == nil
}

// Lease implements judge.Models.
func (m *Models) Lease(name, want string) (judge.Model, func(), error) {
	v, reason, err := m.take(name, want)
	switch {
	case v != nil:
		var once sync.Once
		return v, func() { once.Do(func() { m.release(v) }) }, nil
	case err != nil:
		return nil, nil, err
	case want != "" && !m.source.has(name, want): // which reads folders: not while other requests wait
		return nil, nil, &judge.NotFoundError{Name: name, Version: want}
	}
	return nil, nil, &judge.UnavailableError{Reason: "model " + name + " is not ready", Err: errors.New(reason), After: time.Second}
}

// take leases the version in use. Where there is none, reason says why.
func (m *Models) take(name, want string) (v *version, reason string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[name]
	switch {
	case e == nil:
		return nil, "", &judge.NotFoundError{Name: name}
	case e.current == nil:
		return nil, e.reason, nil
	case want != "" && want != e.current.Version():
		return nil, "", &judge.NotFoundError{Name: name, Version: want}
	}
	e.current.leases++
	return e.current, "", nil
}

// only is the model of a server that has one, leased as by Lease; nil: it is not ready, or there are others.
func (m *Models) only() (judge.Bounded, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) != 1 {
		return nil, nil
	}
	for _, e := range m.entries {
		if v := e.current; v != nil {
			v.leases++
			return v, func() { m.release(v) }
		}
	}
	return nil, nil
}

func (m *Models) release(v *version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v.leases--
	v.settle()
}

// errStopping is of what is asked for while the server stops.
var errStopping = &judge.UnavailableError{Reason: "the server is stopping"}

// hold waits until nobody else loads or unloads a model, and is then the one who does, until done. A model that is
// gone meanwhile is a *judge.NotFoundError.
func (m *Models) hold(ctx context.Context, e *entry) (done func(), err error) {
	select {
	case e.loading <- struct{}{}:
		return func() { <-e.loading }, nil
	case <-e.gone:
		return nil, &judge.NotFoundError{Name: e.name}
	case <-m.closing:
		return nil, errStopping
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin is for who opens a version: it is waited for by Close, which ends ctx. done is called when it is in use,
// refused or closed again.
func (m *Models) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil, errStopping
	}
	m.loads.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-m.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); m.loads.Done() }, nil
}

// Load implements judge.Models. The newest version is opened even if it is the one in use.
func (m *Models) Load(ctx context.Context, name string) error {
	e, err := m.entryOf(name)
	if err != nil {
		return err
	}
	return m.load(ctx, e, true)
}

// load opens what the source offers, beside what is in use. Unless forced, only
// what is another one, and was not refused already.
func (m *Models) load(ctx context.Context, e *entry, forced bool) error {
	free, err := m.hold(ctx, e)
	if err != nil {
		return err
	}
	defer free()
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	m.mu.Lock()
	old, unloaded, failed := e.current, e.unloaded, e.failed
	m.mu.Unlock()
	if unloaded && !forced {
		return nil
	}
	var first error
	for i, c := range m.source.candidates(e.name) {
		switch {
		case forced && i == 0:
		case old != nil && old.candidate.same(c):
			return first // it is what there is
		case old != nil && i > 0:
			return first // what is in use is better than an older one
		case !forced && c.key() == failed:
			continue
		}
		v, err := m.open(ctx, e, c)
		if err == nil {
			m.tell(func(o judge.Opener) { o.Opened(v) })
			if !m.swap(e, v) {
				m.end(ctx, v) // it was opened while the server began to stop
				return errStopping
			}
			m.o.Logger.Info("a model is in use", "model", e.name, "version", v.Version(), "detector", c.path)
			return nil
		}
		first = cmp.Or(first, err)
		m.refuse(ctx, e, c, err)
		if old != nil {
			return err
		}
	}
	if first == nil && old == nil && failed == "" {
		first = fmt.Errorf("model %s: there is no detector in %s", e.name, m.source.place(e.name))
		m.mu.Lock()
		e.reason = first.Error()
		m.mu.Unlock()
	}
	return first
}

// refuse notes why a candidate was not taken into use.
func (m *Models) refuse(ctx context.Context, e *entry, c candidate, err error) {
	m.o.Logger.Error("a model was refused", "model", e.name, "version", c.version, "detector", c.path, "error", err)
	m.mu.Lock()
	defer m.mu.Unlock()
	e.reason = err.Error()
	if ctx.Err() == nil && !passing(err) {
		e.failed, e.refused = c.key(), c.version
	}
	if e.current != nil {
		e.reloads.Refused++
	}
}

// Unload implements judge.Models. It returns once the model has ended.
func (m *Models) Unload(ctx context.Context, name string) error {
	m.mu.Lock()
	e := m.entries[name]
	m.mu.Unlock()
	if e == nil {
		return &judge.NotFoundError{Name: name}
	}
	free, err := m.hold(ctx, e)
	if err != nil {
		return err
	}
	defer free()
	m.mu.Lock()
	v := e.current
	m.mu.Unlock()
	if !m.swap(e, nil) {
		return errStopping
	}
	if v == nil {
		return nil
	}
	select {
	case <-v.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refresh opens what has changed since it was opened, models that are new among it.
// The errors are those of models that were refused.
func (m *Models) Refresh(ctx context.Context) error {
	var wg sync.WaitGroup
	names := m.source.names()
	errs := make([]error, len(names))
	for i, name := range names {
		wg.Go(func() {
			e, err := m.entryOf(name)
			if err == nil {
				err = m.load(ctx, e, false)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Drop ends the models that the source no longer has, for one that was read again.
func (m *Models) Drop(ctx context.Context) error {
	names := m.source.names()
	m.mu.Lock()
	var gone []*entry
	for name, e := range m.entries {
		if !slices.Contains(names, name) {
			gone = append(gone, e)
		}
	}
	m.mu.Unlock()
	for _, e := range gone {
		// It is never given back: nobody loads it again.
		if _, err := m.hold(ctx, e); err != nil {
			return err
		}
		close(e.gone)
		m.mu.Lock()
		delete(m.entries, e.name)
		if old := e.current; old != nil {
			e.current = nil
			m.retire(old)
		}
		m.mu.Unlock()
		m.o.Logger.Info("a model is no longer served", "model", e.name)
	}
	return nil
}

// Close ends all models; what they still judge, once ctx is done. A version that is being opened is given up.
func (m *Models) Close(ctx context.Context) {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.closing)
	}
	var ending []*version
	for _, e := range m.entries {
		if e.current != nil {
			ending = append(ending, e.current)
			e.current, e.reason = nil, errStopping.Reason
		}
	}
	m.mu.Unlock()
	var wg sync.WaitGroup
	for _, v := range ending {
		wg.Go(func() { m.end(ctx, v) })
	}
	wg.Wait()
	m.loads.Wait()
	m.retired.Wait()
}
