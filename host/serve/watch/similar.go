package watch

import (
	"container/list"
	"hash/maphash"
	"math"
	"slices"
	"sync"

	"github.com/vaeguard/vaeguard/host/serve/judge"
)

// SimilarOptions of NewSimilar. The zero value of a field stands for its default.
type SimilarOptions struct {
	// Low and High are the range of the numbers of a row: what is outside counts as
	// the nearest end. Both 0: 0 and 1.
	Low, High float64
	// Levels that the range is rounded to (50/255 of it in the paper). Default 6.
	Levels int
	// Window is the number of neighbouring levels that make one hash. Default 20, or
	// a third of the row if that is less.
	Window int
	// Hashes are kept of each row, the largest. Default 50.
	Hashes int
	// Share of a row's hashes that an earlier one of the same client must have, for the
	// two to be near-duplicates. Default 0.5.
	Share float64
	// Rows are remembered of each client, Clients are remembered, and Total rows of all of them: the least recent
	// clients are forgotten. Defaults 1000, 1000 and 50,000.
	Rows, Clients, Total int
	// Seed of the hashes; the zero value: drawn, so that nobody outside can know which
	// inputs collide.
	Seed maphash.Seed
}

func (o SimilarOptions) withDefaults() SimilarOptions {
	pick := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	pick(&o.Levels, 6)
	pick(&o.Hashes, 50)
	pick(&o.Rows, 1000)
	pick(&o.Clients, 1000)
	pick(&o.Total, 50_000)
	o.Rows = min(o.Rows, o.Total)
	if o.Low == 0 && o.High == 0 {
		o.High = 1
	}
	if o.Share == 0 {
		o.Share = 0.5
	}
	if o.Seed == (maphash.Seed{}) {
		o.Seed = maphash.MakeSeed()
	}
	return o
}

// Similar finds clients who ask about nearly the same input again and again, as
// attacks do that see answers alone: square, HopSkipJump, boundary (Li et al. 2022,
// Blacklight, arXiv:2006.14042). Each row is rounded to a few levels; windows of
// neighbouring levels are hashed, and the largest hashes are its fingerprint. A row
// that shares half of them with an earlier one of the client, without being equal to
// one, is a near-duplicate.
//
// It does not find attackers who space their queries far apart, or who have many
// names: adaptive attacks of that kind get through such defences (Feng et
// al. 2023, OARS; 78 to 88 % of its attacks by arXiv:2405.20641); and clients of a camera that looks at one scene send
// near-duplicates by nature. So it counts, and what follows is for a policy.
//
// Memory is bounded by some 16 bytes a hash, Total · Hashes of them: 40 MB with the defaults. A name that is an address of
// IPv6 stands for its network of 64 bits, which is what one customer has. It is safe for concurrent use.
type Similar struct {
	o  SimilarOptions
	mu sync.Mutex

	clients map[string]*list.Element // of *client
	recent  list.List                // the most recent first
	rows    int                      // that there is room for, of all clients
	prints  sync.Pool                // of *fingerprint, scratch
}

// Sightings of one client since it is remembered.
type Sightings struct {
	Rows    int // that were looked at
	Similar int // of them, near-duplicates of earlier ones
	Equal   int // of them, equal to earlier ones: a request sent again
}

// NewSimilar remembers nothing yet.
func NewSimilar(o SimilarOptions) *Similar {
	s := &Similar{o: o.withDefaults(), clients: make(map[string]*list.Element)}
	s.recent.Init()
	return s
}

// See looks at a row of a client and remembers it. similar says that it is a
// near-duplicate of an earlier one; all is what there is of the client, with it.
func (s *Similar) See(name string, row []float32) (similar bool, all Sightings) {
	name = judge.Network(name)
	p, _ := s.prints.Get().(*fingerprint)
	if p == nil {
		p = new(fingerprint)
	}
	defer s.prints.Put(p)
	p.take(row, s.o) // before others have to wait
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client(name)
	c.seen.Rows++
	if slices.Contains(c.exact, p.whole) {
		c.seen.Equal++
		return false, c.seen
	}
	if similar = c.matches(p.hashes) >= max(1, int(math.Ceil(s.o.Share*float64(len(p.hashes))))); similar {
		c.seen.Similar++
	}
	s.room(c)
	c.keep(p.hashes, p.whole)
	return similar, c.seen
}

// Of is what there is of a client; the zero value if it is not remembered.
func (s *Similar) Of(name string) Sightings {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.clients[judge.Network(name)]; e != nil {
		return e.Value.(*client).seen
	}
	return Sightings{}
}

// Forget forgets a client: it begins anew.
func (s *Similar) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.clients[judge.Network(name)]; e != nil {
		s.forget(e)
	}
}

// client is one that is remembered from now on.
func (s *Similar) client(name string) *client {
	if e := s.clients[name]; e != nil {
		s.recent.MoveToFront(e)
		return e.Value.(*client)
	}
	if s.recent.Len() >= s.o.Clients {
		s.forget(s.recent.Back())
	}
	c := &client{name: name}
	s.clients[name] = s.recent.PushFront(c)
	return c
}

// forget forgets one.
func (s *Similar) forget(e *list.Element) {
	c := e.Value.(*client)
	s.rows -= c.room
	delete(s.clients, c.name)
	s.recent.Remove(e)
}

// room makes some for one more row of the most recent client, which without it would take the place of its oldest.
func (s *Similar) room(c *client) {
	if len(c.exact) < c.room || c.room >= s.o.Rows {
		return
	}
	more := min(max(1, c.room), s.o.Rows-c.room)
	for s.rows+more > s.o.Total && s.recent.Len() > 1 {
		s.forget(s.recent.Back())
	}
	if more = min(more, s.o.Total-s.rows); more > 0 {
		s.rows += more
		c.grow(c.room + more)
	}
}
