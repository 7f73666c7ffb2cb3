package tape_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/tape"
)

type session struct {
	tape.Mark
	number int
	closed bool
}

func (s *session) Close() { s.closed = true }

// pool numbers its sessions from 1.
func pool() *tape.Pool[*session] {
	made := 0
	return &tape.Pool[*session]{New: func() (*session, error) {
		made++
		return &session{number: made}, nil
	}}
}

func take(t *testing.T, p *tape.Pool[*session]) *session {
	t.Helper()
	s, err := p.Take()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pass is a forward pass that leaves a tape.
func pass(t *testing.T, p *tape.Pool[*session]) (tapeNumber uint64) {
	t.Helper()
	s := take(t, p)
	n := p.Next()
	s.Set(n)
	p.Give(s)
	return n
}

func find(t *testing.T, p *tape.Pool[*session], n uint64) *session {
	t.Helper()
	s, err := p.Find(n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTakeSparesTapesThatPullbacksWaitFor(t *testing.T) {
	p := pool()
	first := pass(t, p)
	if s := take(t, p); s.number != 2 {
		t.Fatalf("took session %d, whose tape is waited for", s.number)
	} else {
		p.Give(s)
	}
	s := find(t, p, first)
	if s.number != 1 || !s.Holds(first) {
		t.Fatalf("tape %d: found session %d, want 1", first, s.number)
	}
	s.Used()
	p.Give(s)
	if s := take(t, p); s.number != 1 {
		t.Errorf("took session %d, want 1: nobody waits for it and it was used last", s.number)
	}
}

// A full pool gives up the oldest tape, though a pullback waits for it, and makes
// a session only if there is none.
func TestFullPoolMakesNoSession(t *testing.T) {
	p := pool()
	p.Full = func() bool { return true }
	first := pass(t, p)
	s := take(t, p)
	if s.number != 1 {
		t.Errorf("took session %d, want 1", s.number)
	}
	s.Set(p.Next())
	if other := take(t, p); other.number != 2 {
		t.Errorf("took session %d, which is in use", other.number)
	}
	p.Give(s)
	if s := find(t, p, first); s.Holds(first) {
		t.Error("found a tape that was given up")
	}
}

// A tape stays after its first pullback, for another of the same pass.
func TestUsedTapeIsStillFound(t *testing.T) {
	p := pool()
	n := pass(t, p)
	for range 3 {
		s := find(t, p, n)
		if !s.Holds(n) {
			t.Fatal("the tape is gone, and nobody took its session")
		}
		s.Used()
		p.Give(s)
	}
}

// Abandoned tapes, which no pullback ever asks for, do not add sessions
// without end: beyond Spare the oldest is given up.
func TestSpareBoundsAbandonedTapes(t *testing.T) {
	p := pool()
	var tapes []uint64
	for range tape.Spare {
		tapes = append(tapes, pass(t, p))
	}
	last := pass(t, p)
	if s := find(t, p, last); s.number != 1 || !s.Holds(last) {
		t.Errorf("pass %d is in session %d, want 1, the oldest", last, s.number)
	} else {
		p.Give(s)
	}
	if s := find(t, p, tapes[1]); !s.Holds(tapes[1]) {
		t.Error("the second oldest tape is gone too")
	} else {
		p.Give(s)
	}
	if s := find(t, p, tapes[0]); s.Holds(tapes[0]) || s.number > tape.Spare {
		t.Errorf("a tape that was given up: found session %d, Holds %v", s.number, s.Holds(tapes[0]))
	}
}

func TestDropAndZero(t *testing.T) {
	p := pool()
	n := pass(t, p)
	s := find(t, p, n)
	s.Drop()
	if s.Holds(n) {
		t.Error("holds a tape that was dropped")
	}
	s.Set(0)
	p.Give(s)
	if again := take(t, p); again != s {
		t.Errorf("took session %d: pass 0 is waited for", again.number)
	}
}

func TestErrorsOfNew(t *testing.T) {
	broken := errors.New("no threads")
	p := tape.Pool[*session]{New: func() (*session, error) { return nil, broken }}
	if _, err := p.Take(); !errors.Is(err, broken) {
		t.Errorf("Take: %v", err)
	}
	if _, err := p.Find(7); !errors.Is(err, broken) {
		t.Errorf("Find: %v", err)
	}
}

func TestCloseClosesTheFree(t *testing.T) {
	p := pool()
	lent := take(t, p)
	free := take(t, p)
	p.Give(free)
	p.Close()
	if !free.closed || lent.closed {
		t.Errorf("closed: the free session %v, the lent one %v", free.closed, lent.closed)
	}
	if s := take(t, p); s.closed {
		t.Error("lends a closed session")
	}
}

// A session is never lent to two calls at once.
func TestConcurrentCalls(t *testing.T) {
	type counted struct {
		*session
		users atomic.Int32
	}
	p := tape.Pool[*counted]{New: func() (*counted, error) { return &counted{session: new(session)}, nil }}
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 500 {
				s, err := p.Take()
				if err != nil || s.users.Add(1) != 1 {
					t.Errorf("Take: %v, or a session with two users", err)
					return
				}
				n := p.Next()
				s.Set(n)
				s.users.Add(-1)
				p.Give(s)
				if s, err = p.Find(n); err != nil || s.users.Add(1) != 1 {
					t.Errorf("Find: %v, or a session with two users", err)
					return
				}
				s.Used()
				s.users.Add(-1)
				p.Give(s)
			}
		})
	}
	done.Wait()
}

// A tape that no pullback asked for while Spare others came and went is
// abandoned: callers who now and then look at answers alone have two sessions,
// not one for each time.
func TestAbandonedTapesFreeTheirSession(t *testing.T) {
	p := pool()
	most := 0
	for range 20 {
		pass(t, p) // and no pullback
		for range 2 * tape.Spare {
			n := pass(t, p)
			s := find(t, p, n)
			if !s.Holds(n) {
				t.Fatal("a tape is gone before its pullback")
			}
			most = max(most, s.number)
			s.Used()
			p.Give(s)
		}
	}
	if most > 2 {
		t.Errorf("made %d sessions, want 2", most)
	}
}
