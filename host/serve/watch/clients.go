package watch

import (
	"maps"
	"slices"
	"sync"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// clients are what is remembered of those who ask a model. It outlives a version: an attack that a
// reload falls into goes on, and so does what is known of it. A version that takes rows of another
// shape or range begins anew.
type clients struct {
	*Similar
	shape tensor.Shape

	mu      sync.Mutex
	noticed map[string]bool // at most as many as Similar remembers
}

// clientsAfter are those of the version before, nil if there is none, or new ones.
func clientsAfter(before *state, o SimilarOptions, shape tensor.Shape) *clients {
	if before != nil {
		c := before.clients
		if c.shape.Equal(shape) && c.o.Low == o.Low && c.o.High == o.High {
			return c
		}
	}
	return &clients{Similar: NewSimilar(o), shape: shape, noticed: make(map[string]bool)}
}

// notice reports whether a client is one to tell of, the first time that it is.
func (c *clients) notice(name string, seen Sightings, most int) bool {
	if name == "" || seen.Similar < most {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noticed[name] {
		return false
	}
	if len(c.noticed) >= max(c.o.Clients, 1000) {
		clear(c.noticed)
	}
	c.noticed[name] = true
	return true
}

// names are the clients that were noticed, sorted.
func (c *clients) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.noticed))
}
