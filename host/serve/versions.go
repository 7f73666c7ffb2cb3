package serve

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/serve/judge"
)

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

// swap puts a version in the place of the one in use, which ends once nobody
// holds it. false: the server is stopping, and nothing has changed.
func (m *Models) swap(e *entry, v *version) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	old := e.current
	e.current, e.reason, e.failed, e.unloaded = v, "", "", false
	if v == nil {
		e.reason, e.unloaded = "it was unloaded", true
	}
	if old == nil {
		return true
	}
	if v != nil {
		e.reloads.Done++
	}
	m.retire(old)
	return true
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
