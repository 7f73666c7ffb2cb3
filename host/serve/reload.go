package serve

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Reload reads the server's file again, opens what has changed, beside what is in use, and
// reads certificates again. What is wrong is refused, and what was in use stays: a file with a
// fault as a whole, a model by itself.
//
// Models, the repository, the tokens, and of the limits queue, deadline, per_client_rows_per_second, linger and drain
// change while the server runs: a token that was is refused from the next request on, over connections that there are too. A file that says anything else than before of the rest is refused.
func (s *Server) Reload(ctx context.Context) error { return s.renew(ctx, s.o.Reread) }

// renew is Reload; reread may be nil.
func (s *Server) renew(ctx context.Context, reread func() (*Spec, error)) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	defer s.notify.reload()()
	var err error
	if s.certs != nil {
		if err = s.certs.reload(); err != nil {
			s.log.Error("certificates were refused", "error", err)
		}
	}
	if reread == nil {
		if bad := s.renewTokens(s.Spec()); bad != nil {
			s.log.Error("tokens were refused", "error", bad)
			err = errors.Join(err, bad)
		}
		return errors.Join(err, s.models.Refresh(ctx))
	}
	next, bad := reread()
	if bad == nil {
		bad = s.spec.fixed(next)
	}
	if bad == nil {
		bad = s.renewTokens(next)
	}
	if bad != nil {
		s.log.Error("the server's file was refused: it stays as it was", "error", bad)
		return errors.Join(err, bad, s.models.Refresh(ctx))
	}
	s.models.source.spec.Store(next)
	refused := s.models.Refresh(ctx) // new models are there before anything is sent to them
	if s.proxy != nil {
		if bad = s.proxy.Update(proxied(next)); bad != nil {
			s.log.Error("upstreams were refused: they stay as they were", "error", bad)
			refused = errors.Join(refused, bad)
		}
	}
	if bad == nil {
		s.models.routed.Store(next)
	}
	return errors.Join(err, refused, s.models.Drop(ctx))
}

// fixed are the faults of a file that says something else than this one of what stays for as
// long as a server runs.
func (s *Spec) fixed(next *Spec) error {
	var errs registry.FieldErrors
	for _, part := range []struct {
		key      string
		now, new any
	}{
		{"listen", s.Listen, next.Listen}, {"events", s.Events, next.Events}, {"watch", s.Watch, next.Watch}, {"traces", s.Traces, next.Traces},
		{"log", s.Log, next.Log}, {"limits.body", s.Limits.Body, next.Limits.Body}, {"limits.read", s.Limits.Read, next.Limits.Read},
	} {
		if !reflect.DeepEqual(part.now, part.new) {
			errs.Add(part.key, "changes with a restart alone")
		}
	}
	if s.Auth.clients() != next.Auth.clients() {
		errs.Add("auth.bearer", "comes or goes with a restart alone; the tokens may change")
	}
	if s.Auth.admins() != next.Auth.admins() {
		errs.Add("auth.admin", "comes or goes with a restart alone; the tokens may change")
	}
	if (len(proxied(s)) > 0) != (len(proxied(next)) > 0) {
		errs.Add("models", "a server of models becomes a proxy, or a proxy one, with a restart alone")
	}
	if len(errs) == 0 {
		return nil
	}
	if faults := next.Faults("", errs.Err()); len(faults) > 0 {
		return faults
	}
	return fmt.Errorf("the file has changed: %w", errs.Err())
}
