package kernel

import (
	"sync"
	"sync/atomic"
)

// workers are the engine's threads besides the caller's. They park on a
// channel; the work of a call is cut into parts that any free thread takes, so
// that a worker that wakes late costs nothing.
type workers struct {
	list []*worker
	wg   sync.WaitGroup

	task  *job
	n     int
	chunk int
	next  atomic.Int64
}

type worker struct {
	state atomic.Int32 // idle, posted, running
	wake  chan struct{}
}

const (
	idle = iota
	posted
	running
)

// job is what a parallel call works on. It is part of the engine: a call
// allocates nothing.
type job struct {
	run        func(e *Engine, j *job, worker, lo, hi int)
	f          func(lo, hi int)
	y, x, a, b []float32
	idx        []int32
	s, t, u    float32
	width, n   int
	mat        Matrix
	act        Act
	pool       Pool
	depth      Depthwise
	ep         Epilogue
	adam       AdamStep
	key        Key
	first      uint64
	flag       bool
}

func (w *workers) start(e *Engine) {
	for i := 1; i < e.threads; i++ {
		k := &worker{wake: make(chan struct{}, 1)}
		w.list = append(w.list, k)
		go func() {
			for range k.wake {
				if k.state.CompareAndSwap(posted, running) {
					w.work(e, i)
					k.state.Store(idle)
					w.wg.Done()
				}
			}
		}()
	}
}

func (w *workers) stop() {
	for _, k := range w.list {
		close(k.wake)
	}
	w.list = nil
}

// work takes parts until none is left.
func (w *workers) work(e *Engine, worker int) {
	for {
		lo := int(w.next.Add(int64(w.chunk))) - w.chunk
		if lo >= w.n {
			return
		}
		w.task.run(e, w.task, worker, lo, min(w.n, lo+w.chunk))
	}
}

// partsPerThread is how finely work is cut: more parts level out threads that
// the machine slows down, fewer cost less.
const partsPerThread = 4

// do runs e.job over [0, n) in parts that are multiples of grain, and forgets
// the job's slices. Whoever sets a job sets all that its run reads.
func (e *Engine) do(n, grain int) {
	j := &e.job
	if n > 0 {
		e.spread(j, n, grain)
	}
	j.f, j.y, j.x, j.a, j.b, j.idx = nil, nil, nil, nil, nil, nil
}

func (e *Engine) spread(j *job, n, grain int) {
	w := &e.workers
	units := (n + grain - 1) / grain
	if units <= 1 || len(w.list) == 0 {
		j.run(e, j, 0, 0, n)
		return
	}
	w.task, w.n = j, n
	w.chunk = max(1, units/(partsPerThread*e.threads)) * grain
	w.next.Store(0)
	helpers := w.list[:min(len(w.list), units-1)]
	w.wg.Add(len(helpers))
	for _, k := range helpers {
		k.state.Store(posted)
		select {
		case k.wake <- struct{}{}:
		default: // a token is still there
		}
	}
	w.work(e, 0)
	for _, k := range helpers {
		if k.state.CompareAndSwap(posted, idle) { // did not wake in time
			w.wg.Done()
		}
	}
	w.wg.Wait()
	w.task = nil
}

// Parallel calls f(lo, hi) over a partition of [0, n), each part a multiple
// of grain but the last, on the engine's threads. f must not use the engine.
func (e *Engine) Parallel(n, grain int, f func(lo, hi int)) {
	if n < 0 || grain < 1 {
		panic("kernel: Parallel: n < 0 or grain < 1")
	}
	e.job.run, e.job.f = runFunc, f
	e.do(n, grain)
}

func runFunc(_ *Engine, j *job, _, lo, hi int) { j.f(lo, hi) }

// room is thread-local scratch of n numbers, with any content.
func (e *Engine) room(worker, n int) []float32 {
	if cap(e.scratch[worker]) < n {
		e.scratch[worker] = Floats(n + n/4)
	}
	return e.scratch[worker][:n]
}

// sharedRoom is scratch that all threads see. Only the caller's goroutine may ask.
func (e *Engine) sharedRoom(n int) []float32 {
	if cap(e.shared) < n {
		e.shared = Floats(n + n/4)
	}
	return e.shared[:n]
}
