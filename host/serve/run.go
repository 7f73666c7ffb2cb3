package serve

import (
	"context"
	"errors"
	"time"
)

// Run starts the server, serves until ctx is done, and stops within limits.drain.
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
	stop, cancel := context.WithTimeout(context.Background(), time.Duration(s.Spec().Limits.Drain))
	defer cancel()
	return errors.Join(err, s.Stop(stop))
}

const (
	soon  = time.Second      // between two looks while something is not ready
	later = 30 * time.Second // and when all is
)

// keep opens what could not be opened yet, and tells the service manager.
func (s *Server) keep(ctx context.Context) {
	told, beat := false, s.notify.watchdog()
	last := time.Now()
	for {
		ready, _ := s.Ready()
		if ready && !told {
			told = true
			s.log.Info("ready")
			s.notify.ready()
		}
		s.notify.alive()
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(soon, beat)):
		}
		if !ready || time.Since(last) > later {
			last = time.Now()
			_ = s.models.Refresh(ctx) // refusals are logged
		}
	}
}
