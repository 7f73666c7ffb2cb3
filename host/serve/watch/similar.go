package watch

import (
	"container/list"
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
	"sync"
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
	// Rows are remembered of each client, Clients are remembered: the least recent
	// ones are forgotten. Defaults 1000 and 1000.
	Rows, Clients int
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
// Memory is bounded by Clients · Rows · Hashes. It is safe for concurrent use.
type Similar struct {
	o  SimilarOptions
	mu sync.Mutex

	clients map[string]*list.Element // of *client
	recent  list.List                // the most recent first
	levels  []byte                   // scratch
	bits    []byte
	hashes  []uint64
	largest []uint64
}

// client is what is remembered of one.
type client struct {
	name  string
	rows  prints
	exact []uint64            // hashes of whole rows, by their places in the ring
	equal map[uint64]struct{} // exact, as a set
	seen  Sightings
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
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client(name)
	whole := s.whole(row)
	c.seen.Rows++
	if _, equal := c.equal[whole]; equal {
		c.seen.Equal++
		return false, c.seen
	}
	print := s.fingerprint(row)
	if similar = c.rows.shares(print) >= max(1, int(math.Ceil(s.o.Share*float64(len(print))))); similar {
		c.seen.Similar++
	}
	c.keep(print, whole)
	return similar, c.seen
}

// Of is what there is of a client; the zero value if it is not remembered.
func (s *Similar) Of(name string) Sightings {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.clients[name]; e != nil {
		return e.Value.(*client).seen
	}
	return Sightings{}
}

// client is one that is remembered from now on.
func (s *Similar) client(name string) *client {
	if e := s.clients[name]; e != nil {
		s.recent.MoveToFront(e)
		return e.Value.(*client)
	}
	if s.recent.Len() >= s.o.Clients {
		last := s.recent.Back()
		delete(s.clients, last.Value.(*client).name)
		s.recent.Remove(last)
	}
	c := &client{name: name, rows: prints{each: s.o.Hashes, most: s.o.Rows}, equal: make(map[uint64]struct{})}
	s.clients[name] = s.recent.PushFront(c)
	return c
}

// whole is the hash of a row itself.
func (s *Similar) whole(row []float32) uint64 {
	s.bits = s.bits[:0]
	for _, v := range row {
		s.bits = binary.LittleEndian.AppendUint32(s.bits, math.Float32bits(v))
	}
	return maphash.Bytes(s.o.Seed, s.bits)
}

// quantise writes the levels of a row.
func (s *Similar) quantise(row []float32) {
	s.levels = s.levels[:0]
	scale, most := float64(s.o.Levels-1)/(s.o.High-s.o.Low), float64(s.o.Levels-1)
	for _, v := range row {
		l := (float64(v)-s.o.Low)*scale + 0.5
		if !(l > 0) { // NaN too
			l = 0
		}
		s.levels = append(s.levels, byte(min(l, most)))
	}
}

// fingerprint are the largest hashes of windows of a row's levels, without repetitions. It holds until the next one.
func (s *Similar) fingerprint(row []float32) []uint64 {
	s.quantise(row)
	w := s.o.Window
	if w == 0 {
		w = min(20, max(1, len(s.levels)/3))
	}
	w = min(w, len(s.levels))
	s.hashes = s.hashes[:0]
	for i := 0; i+w <= len(s.levels); i++ {
		// Wherever it stands: else all pictures with the same margin would share it.
		s.hashes = append(s.hashes, maphash.Bytes(s.o.Seed, s.levels[i:i+w]))
	}
	return s.top()
}

// top are the largest hashes, without repetitions. Hashes are spread evenly, so those above a bound that leaves twice
// as many as are wanted hold them, unless many are equal: then the bound was too high.
func (s *Similar) top() []uint64 {
	for share := 2 * s.o.Hashes; ; share *= 4 {
		all := share >= len(s.hashes)
		bound := uint64(0)
		if !all {
			bound = math.MaxUint64 - uint64(share)*(math.MaxUint64/uint64(len(s.hashes)))
		}
		s.largest = s.largest[:0]
		for _, h := range s.hashes {
			if h >= bound {
				s.largest = append(s.largest, h)
			}
		}
		slices.Sort(s.largest)
		s.largest = slices.Compact(s.largest)
		if all || len(s.largest) >= s.o.Hashes {
			return s.largest[max(0, len(s.largest)-s.o.Hashes):]
		}
	}
}

// keep remembers a row, in the place of the oldest if there are enough.
func (c *client) keep(print []uint64, whole uint64) {
	at := c.rows.keep(print)
	if at == len(c.exact) {
		c.exact = append(c.exact, whole)
	} else {
		delete(c.equal, c.exact[at])
		c.exact[at] = whole
	}
	c.equal[whole] = struct{}{}
}
