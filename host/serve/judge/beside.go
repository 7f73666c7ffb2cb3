package judge

import "time"

// beside tells whether a batch had better begin while another one is judged. Where the classifier is elsewhere, or
// there are cores to spare, two at once take hardly longer than one; where both want the same cores they only hold each
// other up, and one after the other the first is done sooner and the second has more rows. So batches are timed by
// themselves and beside others. It is guarded by its queue.
type beside struct {
	alone, both pace
	level       float64 // batches at once when there were several, a moving average
	single, row int     // batches in a row that began by themselves, and beside others
}

const (
	worth      = 1.2 // how much quicker batches beside each other have to be
	tryBeside  = 64  // batches by themselves, after which one is tried beside another
	trySingles = 256 // batches beside others, after which one is tried by itself
)

// learn notes a batch that took a time, of which for shared there were others under way: in the mean level, itself
// among them.
func (s *beside) learn(rows int, took, shared time.Duration, level float64) {
	switch {
	case shared >= took/2:
		s.both.learn(rows, took)
		if s.level == 0 {
			s.level = level
		}
		s.level = memory*s.level + (1-memory)*level
	case shared <= took/8:
		s.alone.learn(rows, took)
	}
}

// pays reports whether a batch of some rows is to begin while another one is judged. What was not seen is to be tried:
// first by itself.
func (s *beside) pays(rows int) bool {
	alone, both := s.alone.seen(rows), s.both.seen(rows)
	if alone == 0 {
		return s.alone == pace{}
	}
	if both == 0 || s.level*alone >= worth*both {
		return s.row < trySingles
	}
	return s.single >= tryBeside
}

// began notes that a batch has begun, while others were under way or by itself.
func (s *beside) began(others int) {
	if others > 0 {
		s.single = 0
		s.row++
	} else {
		s.row = 0
		s.single++
	}
}

// of is about how long rows take in batches of at most most, several at once if that is quicker; 0: nothing is known.
func (s *beside) of(rows, most int) time.Duration {
	alone, both := s.alone.of(rows, most), s.both.of(rows, most)
	if both > 0 {
		both = time.Duration(float64(both) / max(1, s.level))
	}
	if alone == 0 || both > 0 && both < alone {
		return both
	}
	return alone
}

// one is about how long a batch takes by itself; 0: nothing is known.
func (s *beside) one(rows int) time.Duration {
	return time.Duration(s.alone.one(rows) * float64(time.Second))
}
