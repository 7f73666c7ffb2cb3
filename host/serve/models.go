package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	retired sync.WaitGroup // versions that are being closed
	reloads Reloads
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

	// Guarded by Models.mu.
	current  *version // nil: none is in use
	reason   string   // why none is, or why another was refused
	unloaded bool     // on purpose: only Load brings it back
	failed   string   // key of the candidate that was refused last
	refused  string   // its version
}

// version is a detector in use.
type version struct {
	*judge.Guard
	candidate candidate
	stop      context.CancelFunc // of its look-out

	// Guarded by Models.mu.
	leases  int
	retired bool
	free    chan struct{} // closed once it is retired and nobody holds it
	away    string        // why it does not answer; "": it does
}

// why it does not answer, "": it does; Models.mu is locked.
func (v *version) why() string {
	if v.away == "" && v.Away() {
		return awayReason // a request has found out before the look-out
	}
	return v.away
}

func newModels(src source, o ModelOptions) *Models {
	return &Models{o: o, source: src, entries: map[string]*entry{}}
}

// entryOf is a model's place, made if the source has it.
func (m *Models) entryOf(name string) (*entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[name]; e != nil {
		return e, nil
	}
	if !slices.Contains(m.source.names(), name) {
		return nil, &judge.NotFoundError{Name: name}
	}
	e := &entry{name: name, loading: make(chan struct{}, 1), reason: "it is being opened"}
	m.entries[name] = e
	return e, nil
}

// Lease implements judge.Models.
func (m *Models) Lease(name, want string) (judge.Model, func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[name]
	switch {
	case e == nil:
		return nil, nil, &judge.NotFoundError{Name: name}
	case e.current == nil && (want == "" || m.source.has(name, want)):
		return nil, nil, &judge.UnavailableError{Reason: "model " + name + " is not ready", Err: errors.New(e.reason), After: time.Second}
	case e.current == nil || want != "" && want != e.current.Version():
		return nil, nil, &judge.NotFoundError{Name: name, Version: want}
	}
	v := e.current
	v.leases++
	var once sync.Once
	return v, func() { once.Do(func() { m.release(v) }) }, nil
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

// settle closes free when its time has come; Models.mu is locked.
func (v *version) settle() {
	if v.retired && v.leases == 0 {
		select {
		case <-v.free:
		default:
			close(v.free)
		}
	}
}

// List implements judge.Models.
func (m *Models) List() []judge.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []judge.Status
	for name, e := range m.entries {
		used := ""
		if v := e.current; v != nil {
			used = v.Version()
			why := v.why()
			out = append(out, judge.Status{Name: name, Version: used, Ready: why == "", Reason: why})
		}
		others := 0
		for _, other := range m.source.versions(name) {
			if other == used {
				continue
			}
			others++
			reason := "another version is in use"
			if e.current == nil || other == e.refused && e.reason != "" {
				reason = e.reason
			}
			out = append(out, judge.Status{Name: name, Version: other, Reason: reason})
		}
		if used == "" && others == 0 {
			out = append(out, judge.Status{Name: name, Reason: e.reason})
		}
	}
	slices.SortFunc(out, func(a, b judge.Status) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// Ready reports whether every model has a version that answers, but for those that
// were unloaded; why names those that do not.
func (m *Models) Ready() (ok bool, why []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, e := range m.entries {
		switch {
		case e.unloaded:
		case e.current == nil:
			why = append(why, name+": "+e.reason)
		case e.current.why() != "":
			why = append(why, name+": "+e.current.why())
		}
	}
	slices.Sort(why)
	return len(why) == 0 && len(m.entries) > 0, why
}

// Reloads are those so far.
func (m *Models) Reloads() Reloads {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reloads
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
	select {
	case e.loading <- struct{}{}:
		defer func() { <-e.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	m.mu.Lock()
	old, closed, unloaded, failed := e.current, m.closed, e.unloaded, e.failed
	m.mu.Unlock()
	if closed {
		return &judge.UnavailableError{Reason: "the server is stopping"}
	}
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
			m.swap(e, v)
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
		m.reloads.Refused++
	}
}

// swap puts a version in the place of the one in use, which ends once nobody
// holds it.
func (m *Models) swap(e *entry, v *version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := e.current
	e.current, e.reason, e.failed, e.unloaded = v, "", "", false
	if v == nil {
		e.reason, e.unloaded = "it was unloaded", true
	}
	if old == nil {
		return
	}
	if v != nil {
		m.reloads.Done++
	}
	m.retire(old)
}

// retire closes a version once nobody holds it; Models.mu is locked.
func (m *Models) retire(v *version) {
	v.retired = true
	v.settle()
	m.retired.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(m.source.now().Limits.Drain))
		defer cancel()
		select {
		case <-v.free:
		case <-ctx.Done():
			m.o.Logger.Warn("requests of a version that was replaced are cut off", "model", v.Name(), "version", v.Version())
		}
		m.end(ctx, v)
	})
}

// tell tells those who watch of a version.
func (m *Models) tell(what func(judge.Opener)) {
	for _, w := range m.o.Watchers {
		if o, ok := w.(judge.Opener); ok {
			what(o)
		}
	}
}

// end closes a version and tells so.
func (m *Models) end(ctx context.Context, v *version) {
	v.close(ctx, m.o.Logger)
	m.tell(func(o judge.Opener) { o.Closed(v) })
}

// close ends a version; what it still judges, once ctx is done.
func (v *version) close(ctx context.Context, log hclog.Logger) {
	v.stop()
	v.Guard.Close(ctx)
	if err := v.Detector().Close(); err != nil {
		log.Warn("closing a detector", "model", v.Name(), "version", v.Version(), "error", err)
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
	select {
	case e.loading <- struct{}{}:
		defer func() { <-e.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	m.mu.Lock()
	v := e.current
	m.mu.Unlock()
	m.swap(e, nil)
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
		select {
		case e.loading <- struct{}{}: // and never given back: nobody loads it again
		case <-ctx.Done():
			return ctx.Err()
		}
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

// Close ends all models; what they still judge, once ctx is done.
func (m *Models) Close(ctx context.Context) {
	m.mu.Lock()
	m.closed = true
	var ending []*version
	for _, e := range m.entries {
		if e.current != nil {
			ending = append(ending, e.current)
			e.current, e.reason = nil, "the server is stopping"
		}
	}
	m.mu.Unlock()
	var wg sync.WaitGroup
	for _, v := range ending {
		wg.Go(func() { m.end(ctx, v) })
	}
	wg.Wait()
	m.retired.Wait()
}
