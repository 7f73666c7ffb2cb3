package host

import "time"

// SetClock has Price measure by another clock.
func (e *Experiment) SetClock(now func() time.Time) { e.now = now }
