package watch

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// clients are what is remembered of those who ask a model. It outlives a version: an attack that a
// reload falls into goes on, and so does what is known of it. A version that takes rows of another
// shape or range begins anew.
type clients struct {
	*Similar
	shape tensor.Shape

	mu      sync.Mutex
	noticed map[string]bool      // at most as many as Similar remembers
	until   map[string]time.Time // when those who are refused may ask again; likewise
}

// clientsAfter are those of the version before, nil if there is none, or new ones.
func clientsAfter(before *state, o SimilarOptions, shape tensor.Shape) *clients {
	if before != nil {
		c := before.clients
		if c.shape.Equal(shape) && c.o.Low == o.Low && c.o.High == o.High {
			return c
		}
	}
	return &clients{Similar: NewSimilar(o), shape: shape, noticed: make(map[string]bool), until: make(map[string]time.Time)}
}

// notice reports whether a client is one to tell of, the first time that it is.
func (c *clients) notice(name string, seen Sightings, most int) bool {
	if name == "" || seen.Similar < most {
		return false
	}
	name = judge.Network(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noticed[name] {
		return false
	}
	if len(c.noticed) >= c.most() {
		clear(c.noticed)
	}
	c.noticed[name] = true
	return true
}

// most is the number of names that are remembered of those who were noticed, and refused.
func (c *clients) most() int { return max(c.o.Clients, 1000) }

// refuse refuses a client from now on, and forgets what it has asked. first says that it was not refused already.
func (c *clients) refuse(name string, now time.Time, long time.Duration) (first bool) {
	c.Forget(name)
	name = judge.Network(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	first = !c.until[name].After(now)
	if len(c.until) >= c.most() {
		maps.DeleteFunc(c.until, func(_ string, t time.Time) bool { return !t.After(now) })
	}
	if len(c.until) >= c.most() {
		clear(c.until)
	}
	c.until[name] = now.Add(long)
	return first
}

// refused is for how long a client is still refused; 0: it is not.
func (c *clients) refused(name string, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.until) == 0 {
		return 0
	}
	name = judge.Network(name)
	left := c.until[name].Sub(now)
	if left <= 0 {
		delete(c.until, name)
		return 0
	}
	return left
}

// names are the clients that were noticed, sorted.
func (c *clients) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.noticed))
}
