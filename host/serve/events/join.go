package events

import (
	"container/list"
	"sync"
	"time"
)

// half is a request or a response that waits for the other.
type half struct {
	event event
	came  time.Time
}

// joiner brings requests and responses together, in any order, in bounded memory: the
// oldest give way.
type joiner struct {
	wait  time.Duration
	pairs int
	bytes int64
	now   func() time.Time

	mu    sync.Mutex
	known map[string]*list.Element // of *half, by their keys
	order list.List                // the oldest first
	held  int64
	lost  int64 // of those that gave way or waited in vain
	twice int64
}

func newJoiner(wait time.Duration, pairs int, bytes int64) *joiner {
	return &joiner{wait: wait, pairs: pairs, bytes: bytes, now: time.Now, known: map[string]*list.Element{}}
}

// put takes one half, and gives the other if it is there.
func (j *joiner) put(e event) (other event, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.expire()
	key := e.key()
	if at := j.known[key]; at != nil {
		h := at.Value.(*half)
		if h.event.kind == e.kind {
			j.twice++ // it was sent again
			e.finish()
			return event{}, false
		}
		j.remove(at)
		return h.event, true
	}
	if int64(len(e.data)) > j.bytes {
		j.lost++
		e.finish()
		return event{}, false
	}
	j.known[key] = j.order.PushBack(&half{e, j.now()})
	j.held += int64(len(e.data))
	for j.order.Len() > j.pairs || j.held > j.bytes {
		j.remove(j.order.Front()).finish()
		j.lost++
	}
	return event{}, false
}

// drop lets go of the half that waits for an event, and reports whether there is one.
func (j *joiner) drop(e event) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := j.known[e.key()]
	if at == nil || at.Value.(*half).event.kind == e.kind {
		return false
	}
	j.remove(at).finish()
	return true
}

// expire lets go of what has waited for too long; mu is locked.
func (j *joiner) expire() {
	for at := j.order.Front(); at != nil && j.now().Sub(at.Value.(*half).came) > j.wait; at = j.order.Front() {
		j.remove(at).finish()
		j.lost++
	}
}

func (j *joiner) remove(at *list.Element) event {
	h := j.order.Remove(at).(*half)
	delete(j.known, h.event.key())
	j.held -= int64(len(h.event.data))
	return h.event
}

// state is how many wait, the bytes that they hold, and how many were lost and came twice.
func (j *joiner) state() (waiting int, held, lost, twice int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.expire()
	return j.order.Len(), j.held, j.lost, j.twice
}

// clear lets go of all that waits, and says how many of it do not come again.
func (j *joiner) clear() (lost int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for at := j.order.Front(); at != nil; at = j.order.Front() {
		if !j.remove(at).kafka {
			lost++
		}
	}
	j.lost += int64(lost)
	return lost
}
