package launch

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/sdk"
)

// maxSilent is how many health checks in a row an idle plugin may leave
// unanswered. One may be the machine's fault.
const maxSilent = 2

// watch looks after the replicas until the classifier is closed.
func (c *Classifier) watch() {
	t := time.NewTicker(c.o.HealthEvery)
	defer t.Stop()
	silent := make([]int, len(c.replicas))
	for {
		select {
		case <-c.life.Done():
			return
		case <-t.C:
		}
		for i, r := range c.replicas {
			p := r.current()
			switch {
			case p == nil || r.healthy(p):
				silent[i] = 0
				continue
			case c.life.Err() != nil:
				return
			}
			silent[i]++
			if silent[i] < maxSilent && !p.run.dead(0) {
				continue
			}
			silent[i] = 0
			cause := sdk.Errorf(sdk.Unavailable, "it did not answer while idle")
			if p.run.dead(0) {
				cause = sdk.Errorf(sdk.Unavailable, "it exited while idle")
			}
			fault := c.fault("ping", p, cause)
			c.o.Logger.Warn("gave up on the plugin; the next call starts it again", "plugin", c.cmd.Name, "cause", fault)
			r.lost(p, fault)
		}
	}
}

// healthy asks a plugin that is idle. One that works is believed: a call has a
// deadline of its own, and some cannot answer meanwhile.
func (r *replica) healthy(p *process) bool {
	if r.calls.Load() > 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(r.c.life, r.c.o.HealthTimeout)
	defer cancel()
	err := p.ping(ctx)
	if r.calls.Load() > 0 {
		return true
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Unavailable:
		return false
	}
	return true // whatever it says, it answers
}
