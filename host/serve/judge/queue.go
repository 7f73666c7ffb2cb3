package judge

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vaeguard/vaeguard/host/detect"
)

// maxWaiting bounds the bytes of rows that wait, whatever their number.
const maxWaiting = 256 << 20

// job is one request under way.
type job struct {
	Request
	ctx  context.Context
	came time.Time
	done chan outcome // has room for one

	batch *batch // nil: it waits
}

// outcome is what a job came to.
type outcome struct {
	result *detect.Result
	err    error
	began  time.Time // of its batch; zero: it was in none
	rows   int       // of its batch
}

// bytes is the memory of its rows.
func (j *job) bytes() int { return 4 * len(j.Rows.X.Data) }

// fits reports whether two jobs can be judged together.
func (j *job) fits(other *job) bool {
	return j.Include == other.Include && j.Samples == other.Samples && (j.Given == nil) == (other.Given == nil)
}

// batch is jobs that are judged together. Its context ends once no caller is left,
// and with the last one's time.
type batch struct {
	jobs []*job
	rows int
	ctx  context.Context
	end  context.CancelFunc
	left atomic.Int32 // callers that still wait

	// Guarded by the queue.
	began  time.Time
	shared time.Duration // while others were under way
	others float64       // seconds that others were under way meanwhile, all together
}

// queue is what waits for one of a number of workers.
type queue struct {
	o    Options
	run  func(*batch)
	work sync.WaitGroup

	mu       sync.Mutex
	news     sync.Cond
	waiting  []*job // in the order of their coming
	rows     int    // that wait
	bytes    int
	batching int  // rows in batches under way
	busy     int  // batches under way
	gathers  bool // a worker waits for company for the first
	closed   bool
	running  map[*batch]struct{}
	changed  time.Time // when a batch last began or ended
	beside   beside
}

func newQueue(o Options, run func(*batch)) *queue {
	q := &queue{o: o, run: run, running: map[*batch]struct{}{}}
	q.news.L = &q.mu
	for range o.Concurrency {
		q.work.Go(q.loop)
	}
	return q
}

// put lets a job wait, unless there is no room, or its time would pass before its turn.
func (q *queue) put(j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := j.N()
	switch {
	case q.closed:
		return &UnavailableError{Reason: "the model is being closed", After: awayAfter}
	case q.rows > 0 && (q.rows+n > q.o.Queue || q.bytes+j.bytes() > maxWaiting):
		return q.full()
	}
	if end, ok := j.ctx.Deadline(); ok && q.rows+q.batching > 0 { // else its turn is now, and tells how long it takes
		if err := q.inTime(n, time.Until(end)); err != nil {
			return err
		}
	}
	q.waiting = append(q.waiting, j)
	q.rows += n
	q.bytes += j.bytes()
	q.news.Broadcast()
	return nil
}

// admits fails as put would for one row that has left to be judged in, if its time is limited.
func (q *queue) admits(left time.Duration, limited bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.rows > 0 && q.rows >= q.o.Queue:
		return q.full()
	case limited && q.rows+q.batching > 0:
		return q.inTime(1, left)
	}
	return nil
}

// full refuses for want of room; q is locked.
func (q *queue) full() error {
	return &OverloadedError{Reason: "too many rows wait already", After: q.wait(q.rows)}
}

// inTime refuses rows whose time would pass before they are judged; q is locked.
func (q *queue) inTime(rows int, left time.Duration) error {
	if wait := q.wait(q.rows) + q.beside.of(rows, q.o.MaxRows); left < wait {
		return &OverloadedError{Reason: "its time would pass before its turn", After: wait}
	}
	return nil
}

// wait is about how long rows take that come before; q is locked.
func (q *queue) wait(rows int) time.Duration {
	return q.beside.of(rows+q.batching/2, q.o.MaxRows)
}

// leave takes a job out whose caller has left.
func (q *queue) leave(j *job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := j.batch; b != nil {
		if b.left.Add(-1) == 0 {
			b.end()
		}
		return
	}
	if i := slices.Index(q.waiting, j); i >= 0 {
		q.remove(i)
		q.news.Broadcast()
	}
}

// remove takes a job from those that wait; q is locked.
func (q *queue) remove(i int) {
	q.rows -= q.waiting[i].N()
	q.bytes -= q.waiting[i].bytes()
	q.waiting = slices.Delete(q.waiting, i, i+1)
}

// state is how many rows wait and are being judged.
func (q *queue) state() (waiting, batching int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows, q.batching
}

// loop is one worker.
func (q *queue) loop() {
	for b := q.next(); b != nil; b = q.next() {
		q.run(b)
		b.end()
		q.mu.Lock()
		q.pass(time.Now())
		q.busy--
		q.batching -= b.rows
		delete(q.running, b)
		if b.left.Load() > 0 { // it was judged, and not given up
			took := q.changed.Sub(b.began)
			q.beside.learn(b.rows, took, b.shared, 1+b.others/max(took.Seconds(), 1e-9))
		}
		q.news.Broadcast()
		q.mu.Unlock()
	}
}

// pass notes the time until now, before a batch begins or ends; q is locked.
func (q *queue) pass(now time.Time) {
	if d := now.Sub(q.changed); q.busy > 1 {
		for b := range q.running {
			b.shared += d
			b.others += float64(q.busy-1) * d.Seconds()
		}
	}
	q.changed = now
}

// next waits for a batch; nil: there will be no more.
func (q *queue) next() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case len(q.waiting) == 0 && q.closed:
			return nil
		case len(q.waiting) == 0 || q.gathers:
			q.news.Wait()
			continue
		}
		first := q.waiting[0]
		rows, delay := q.company(first), q.o.MaxDelay-time.Since(first.came)
		if delay <= 0 || rows >= q.o.MaxRows {
			delay = q.patience(min(rows, q.o.MaxRows))
		}
		if q.closed || q.busy == 0 || delay <= 0 {
			return q.take(first)
		}
		q.gathers = true
		late := time.AfterFunc(delay, func() { // under the lock, so that it cannot come before Wait
			q.mu.Lock()
			defer q.mu.Unlock()
			q.news.Broadcast()
		})
		q.news.Wait()
		late.Stop()
		q.gathers = false
	}
}

// patience is how long a batch of some rows waits for those under way to end; q is locked. It has an end: one that
// takes much longer than it should may wait for what is elsewhere.
func (q *queue) patience(rows int) time.Duration {
	if q.beside.pays(rows) {
		return 0
	}
	const late = 2
	longest := time.Duration(0)
	for b := range q.running {
		longest = max(longest, late*q.beside.one(b.rows)-time.Since(b.began))
	}
	return longest
}

// company is how many rows could be judged with a job, its own among them; q is locked.
func (q *queue) company(first *job) int {
	n := 0
	for _, j := range q.waiting {
		if j.fits(first) {
			n += j.N()
		}
	}
	return n
}

// take makes a batch of the first job and of those after it that fit; q is locked.
func (q *queue) take(first *job) *batch {
	b := &batch{}
	rest := q.waiting[:0]
	for _, j := range q.waiting {
		if len(b.jobs) > 0 && (!j.fits(first) || b.rows+j.N() > q.o.MaxRows) {
			rest = append(rest, j)
			continue
		}
		j.batch = b
		b.jobs = append(b.jobs, j)
		b.rows += j.N()
		q.rows -= j.N()
		q.bytes -= j.bytes()
	}
	clear(q.waiting[len(rest):])
	q.waiting = rest
	b.left.Store(int32(len(b.jobs)))
	b.ctx, b.end = b.context()
	b.began = time.Now()
	q.pass(b.began)
	q.beside.began(q.busy)
	q.running[b] = struct{}{}
	q.busy++
	q.batching += b.rows
	q.news.Broadcast()
	return b
}

// context ends with the last of the callers' times, if all have one.
func (b *batch) context() (context.Context, context.CancelFunc) {
	var last time.Time
	for _, j := range b.jobs {
		end, ok := j.ctx.Deadline()
		if !ok {
			return context.WithCancel(context.Background())
		}
		if end.After(last) {
			last = end
		}
	}
	return context.WithDeadline(context.Background(), last)
}

// close lets no more come in, waits for what is there until ctx is done, and then
// ends it.
func (q *queue) close(ctx context.Context) {
	q.mu.Lock()
	q.closed = true
	q.news.Broadcast()
	q.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		q.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	q.mu.Lock()
	for _, j := range q.waiting {
		j.done <- outcome{err: &UnavailableError{Reason: "the model was closed", After: awayAfter}}
	}
	q.waiting, q.rows, q.bytes = nil, 0, 0
	for b := range q.running {
		b.end()
	}
	q.news.Broadcast()
	q.mu.Unlock()
	<-ended
}
