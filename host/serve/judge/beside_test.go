package judge

import (
	"context"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// cores plays batches of a row each on cores, of which a batch wants share for all of its time, and counts those
// that began beside another one.
func cores(s *beside, share float64, batches int) (together int) {
	const one = time.Millisecond
	for range batches {
		switch s.pays(1) {
		case true:
			took := time.Duration(max(1, 2*share) * float64(one)) // of two that hold each other up
			s.began(1)
			s.learn(1, took, took, 2)
			together++
		case false:
			s.began(0)
			s.learn(1, one, 0, 1)
		}
	}
	return together
}

// TestBeside: batches are judged beside each other where that is quicker, and there alone; which of the two it is is
// tried again.
func TestBeside(t *testing.T) {
	for name, c := range map[string]struct {
		share       float64 // of the cores that one batch keeps busy
		least, most int     // of 1,000 that begin beside another
	}{
		"a classifier elsewhere":   {0.05, 950, 999},
		"two cores of two threads": {0.5, 950, 999},
		"one core":                 {1, 5, 50},
	} {
		var s beside
		s.began(0)
		s.learn(1, time.Millisecond, 0, 1)
		if n := cores(&s, c.share, 1000); n < c.least || n > c.most {
			t.Errorf("%s: %d of 1000 began beside another, want %d to %d", name, n, c.least, c.most)
		}
		// and where it changes, it is noticed
		other := 1.05 - c.share
		cores(&s, other, 600)
		n := cores(&s, other, 1000)
		if quick := other <= 0.55; quick != (n > 500) {
			t.Errorf("%s, then the contrary: %d of 1000 began beside another", name, n)
		}
	}
}

// TestPatience: a batch that cannot be quicker beside another one waits for it, but not for one that does not end in
// twice its time.
func TestPatience(t *testing.T) {
	q := newQueue(Options{MaxRows: 4, Queue: 100, Concurrency: 2}, nil)
	defer q.close(context.Background())
	q.mu.Lock()
	defer q.mu.Unlock()
	if d := q.patience(1); d > 0 {
		t.Errorf("nothing was seen, and a batch waits %v", d)
	}
	for range 20 {
		q.beside.learn(1, time.Hour, 0, 1)
		q.beside.learn(1, 2*time.Hour, 2*time.Hour, 2)
	}
	now := time.Now()
	b := &batch{rows: 1, began: now.Add(-30 * time.Minute)}
	q.running[b] = struct{}{}
	defer delete(q.running, b)
	if d := q.patience(1); d < time.Hour || d > 91*time.Minute {
		t.Errorf("half an hour into a batch of an hour the next one waits %v at most, want an hour and a half", d)
	}
	b.began = now.Add(-3 * time.Hour)
	if d := q.patience(1); d > 0 {
		t.Errorf("three hours into a batch of an hour the next one waits %v, want no more", d)
	}
}

// TestAdmits: what is refused before it is read is what would be refused after.
func TestAdmits(t *testing.T) {
	q := newQueue(Options{MaxRows: 4, Queue: 2, Concurrency: 1}, func(*batch) {})
	q.mu.Lock()
	q.gathers = true // so that nobody takes what waits
	q.mu.Unlock()
	defer func() {
		ended, end := context.WithCancel(t.Context())
		end()
		q.mu.Lock()
		q.gathers = false
		q.mu.Unlock()
		q.close(ended)
	}()
	job := func() *job {
		return &job{Request: Request{Rows: &dataset.Data{X: tensor.New(1, 2)}}, ctx: t.Context(), done: make(chan outcome, 1)}
	}
	for n := range 3 {
		early := q.admits(0, false)
		if err := q.put(job()); (early == nil) != (err == nil) || (err == nil) != (n < 2) {
			t.Errorf("request %d: before it is read %v, after it %v", n, early, err)
		}
	}
	q.mu.Lock()
	q.rows = 1
	q.beside.learn(1, time.Minute, 0, 1)
	q.mu.Unlock()
	if err := q.admits(time.Second, true); err == nil {
		t.Error("a request that has a second is admitted behind one that takes a minute")
	}
	if err := q.admits(time.Hour, true); err != nil {
		t.Errorf("a request that has an hour, behind one that takes a minute: %v", err)
	}
	q.mu.Lock()
	q.rows = 2
	q.mu.Unlock()
}
