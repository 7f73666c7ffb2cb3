package serve

import (
	"context"
	"errors"
	"time"
)

// Run starts the server, serves until ctx is done, answers on for limits.linger though it is not ready, and stops within limits.drain.
// reload asks for a Reload, as SIGHUP does; nil: nothing does.
func (s *Server) Run(ctx context.Context, reload <-chan struct{}) error {
	err := s.Start(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
		case err = <-s.failed:
		case <-reload:
			_ = s.Reload(ctx) // what was refused is in the log
			continue
		}
		break
	}
	if err == nil {
		err = s.linger()
	}
	stop, cancel := context.WithTimeout(context.Background(), time.Duration(s.Spec().Limits.Drain))
	defer cancel()
	return errors.Join(err, s.Stop(stop))
}

// linger leaves, and waits until others have found out.
func (s *Server) linger() error {
	s.Leave()
	select {
	case <-time.After(time.Duration(s.Spec().Limits.Linger)):
		return nil
	case err := <-s.failed:
		return err
	}
}

const (
	soon  = time.Second      // between two looks while something is not ready
	later = 30 * time.Second // and when all is
)

// keep opens what could not be opened yet, and what has changed and nobody told of. It waits for as long as that takes.
func (s *Server) keep(ctx context.Context) {
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(soon):
		}
		if ready, _ := s.models.Ready(); !ready || time.Since(last) > later {
			last = time.Now()
			_ = s.models.Refresh(ctx) // refusals are logged
		}
	}
}

// beat tells the service manager that the server is ready, once it is, and that it lives. It waits for nothing but what
// every request needs: a model that takes long to open is no reason to end a server, and a lock that nobody gives back is one.
func (s *Server) beat(ctx context.Context) {
	for {
		if ready, _ := s.Ready(); ready && s.notify.ready() {
			s.log.Info("ready")
		}
		if s.notify.due() {
			s.pulse()
			s.notify.alive()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(soon, s.notify.watchdog())):
		}
	}
}

// pulse takes each lock that a request takes on its way, and gives it back.
func (s *Server) pulse() {
	s.models.pulse()
	s.board.Views()
}
