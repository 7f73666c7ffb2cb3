package traffic

import "time"

// WithClock is o with another clock, by which phases end.
func (o Options) WithClock(now func() time.Time) Options {
	o.now = now
	return o
}
