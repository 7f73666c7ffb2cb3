// Package tape keeps what a forward pass leaves until a pullback asks
// for it. A classifier that offers gradients answers each call in a session
// of a [Pool]: an engine, the room for its activations, and a [Mark] that says
// which pass these belong to. A pullback looks for the session of its pass; if
// another call has had it meanwhile, the pass is repeated in any other, so
// what is kept is a matter of speed alone.
package tape

import "sync"

// Spare is how many sessions a [Pool] makes before it gives up a tape that a
// pullback still waits for, and how many tapes later none is expected any more:
// attacks look at their last answers without pulling back.
const Spare = 8

// Mark says which forward pass a session's activations belong to. A session
// embeds it. The zero Mark belongs to no pass.
type Mark struct {
	tape  uint64
	waits bool // no pullback has used the tape yet
}

// Set marks the activations as those of a forward pass, which a pullback is
// to use; 0 means that none will.
func (m *Mark) Set(tape uint64) { m.tape, m.waits = tape, tape != 0 }

// Drop says that the activations are gone; whether a pullback waits is left
// as it is.
func (m *Mark) Drop() { m.tape = 0 }

// Holds reports whether the activations are those of that pass.
func (m *Mark) Holds(tape uint64) bool { return m.tape == tape }

// Used says that a pullback has used the tape. It stays until the session is
// taken for another pass.
func (m *Mark) Used() { m.waits = false }

// TapeMark is the mark itself, for a [Pool] to read in a session that embeds it.
func (m *Mark) TapeMark() *Mark { return m }

// Session is what a [Pool] lends: a type that embeds a [Mark].
type Session interface {
	TapeMark() *Mark
	// Close ends the session's workers.
	Close()
}

// Pool lends sessions, each to one call at a time. Its methods may be called
// by several goroutines at once. A Pool must not be copied after its first
// use.
type Pool[S Session] struct {
	// New makes a session. It is required.
	New func() (S, error)
	// Full reports that sessions hold so much memory that a tape is to be given
	// up sooner than another session made; nil: they never do.
	Full func() bool

	mu    sync.Mutex
	free  []S // the last used is last
	made  int
	tapes uint64
}

// Take lends a session for a forward pass: the last used of those whose tape no
// pullback waits for, or is [Spare] tapes old, else a new one, else, after [Spare] of them or
// when the Pool is Full, the free one that was used longest ago. Errors are those of New.
func (p *Pool[S]) Take() (S, error) {
	p.mu.Lock()
	for i := len(p.free) - 1; i >= 0; i-- {
		if m := p.free[i].TapeMark(); !m.waits || p.tapes-m.tape > Spare {
			return p.pick(i), nil
		}
	}
	if len(p.free) > 0 && (p.made >= Spare || p.Full != nil && p.Full()) {
		return p.pick(0), nil
	}
	p.made++
	p.mu.Unlock()
	return p.New()
}

// Find lends the session that holds a tape, or any other, as Take does: ask
// [Mark.Holds]. Errors are those of New.
func (p *Pool[S]) Find(tape uint64) (S, error) {
	p.mu.Lock()
	for i, s := range p.free {
		if s.TapeMark().Holds(tape) {
			return p.pick(i), nil
		}
	}
	p.mu.Unlock()
	return p.Take()
}

// pick removes free session i and unlocks.
func (p *Pool[S]) pick(i int) S {
	s := p.free[i]
	p.free = append(p.free[:i], p.free[i+1:]...)
	p.mu.Unlock()
	return s
}

// Give returns a session that was lent; it is not the caller's from then on.
func (p *Pool[S]) Give(s S) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, s)
}

// Next numbers a tape: 1, 2, ….
func (p *Pool[S]) Next() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tapes++
	return p.tapes
}

// Close closes the free sessions. Those in use end with the process.
func (p *Pool[S]) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.free {
		s.Close()
	}
	p.free = nil
}
