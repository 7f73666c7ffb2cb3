package events

import "time"

// Clock makes now the clock by which halves wait. Before the first event.
func (s *Sink) Clock(now func() time.Time) { s.join.now = now }
