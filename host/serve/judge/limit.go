package judge

import (
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxClients bounds how many clients are kept apart. One that was not heard of for
// longest is forgotten first, and has its whole share again then.
const maxClients = 10_000

// clients bounds the rows a second of each client.
type clients struct {
	rate float64 // 0: no bound

	mu    sync.Mutex
	known map[string]*list.Element
	order *list.List // of client, the latest first
}

type client struct {
	name  string
	share *rate.Limiter
}

func newClients(rows float64) *clients {
	return &clients{rate: rows, known: map[string]*list.Element{}, order: list.New()}
}

// take takes rows from a client's share, of which it may save up a second's.
func (c *clients) take(now time.Time, name string, rows int) error {
	if c.rate <= 0 || name == "" { // nobody knows who, as of events
		return nil
	}
	share := c.of(name)
	if rows > share.Burst() {
		return &OverloadedError{Reason: fmt.Sprintf("a request of %d rows is more than a client may ask for in a second, %d", rows, share.Burst()), Client: true, After: time.Second}
	}
	r := share.ReserveN(now, rows)
	if after := r.DelayFrom(now); after > 0 {
		r.CancelAt(now)
		return c.used(after)
	}
	return nil
}

// empty refuses a client whose share is used up, whatever it asks, and takes nothing.
func (c *clients) empty(now time.Time, name string) error {
	if c.rate <= 0 || name == "" { // nobody knows who, as of events
		return nil
	}
	missing := 1 - c.of(name).TokensAt(now)
	if missing <= 0 {
		return nil
	}
	return c.used(time.Duration(missing / c.rate * float64(time.Second)))
}

// used is the refusal of a client that may come again after a while.
func (c *clients) used(after time.Duration) error {
	return &OverloadedError{Reason: fmt.Sprintf("a client may ask for %g rows a second", c.rate), Client: true, After: after}
}

// of is the share of a client's network.
func (c *clients) of(name string) *rate.Limiter {
	name = Network(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.known[name]; ok {
		c.order.MoveToFront(e)
		return e.Value.(*client).share
	}
	if len(c.known) >= maxClients {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.known, last.Value.(*client).name)
	}
	one := &client{name, limiter(c.rate)}
	c.known[name] = c.order.PushFront(one)
	return one.share
}

// limiter allows a number a second, and as many at once as come in a second.
func limiter(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), int(math.Ceil(min(perSecond, math.MaxInt32))))
}

// spare decides which optional requests are judged.
type spare struct {
	skip  float64
	extra *rate.Limiter // of rows; nil: any number
}

func newSpare(skip, extra float64) *spare {
	s := &spare{skip: skip}
	if extra > 0 {
		s.extra = limiter(extra)
	}
	return s
}

// take admits an optional request that costs extra rows.
func (s *spare) take(now time.Time, extra int) error {
	if s.skip > 0 && rand.Float64() < s.skip { // not by what a client could foresee
		return &SkippedError{Reason: "the sample leaves it out"}
	}
	if s.extra == nil {
		return nil
	}
	r := s.extra.ReserveN(now, min(extra, s.extra.Burst())) // AllowN would wait for a clock that was set back
	if r.DelayFrom(now) > 0 {
		r.CancelAt(now)
		return &SkippedError{Reason: "the extra rows of this second are used up", Budget: true}
	}
	return nil
}
