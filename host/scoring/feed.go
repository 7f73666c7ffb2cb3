package scoring

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// rowBatch is some rows in order, then at most one bad row, or the end of a
// batch of the source, then perhaps the end of the stream: io.EOF, or what went
// wrong.
type rowBatch struct {
	data   []float32
	traces []dataset.Trace // of the rows, in order
	bad    error
	from   dataset.Trace // of the bad row
	ends   bool          // the source's batch
	err    error
}

func (b *rowBatch) empty() bool { return len(b.data) == 0 && b.bad == nil && !b.ends && b.err == nil }

// feed reads a stream ahead: while one batch is scored the next one fills, up
// to a size. A batch that is not full goes as soon as it is asked for, so that
// a live stream is answered and a fast one comes in full batches.
type feed struct {
	mu      sync.Mutex
	room    sync.Cond // for the reader
	news    sync.Cond // for next
	most    int       // numbers in a batch
	filling rowBatch
	lent    []float32 // of the batch that next gave last
	stopped error
	release func() bool
	left    chan struct{} // closed when nobody reads the source any more
}

func newFeed(ctx context.Context, s Source, size int) *feed {
	f := &feed{most: size * s.Example().Size(), left: make(chan struct{})}
	f.room.L, f.news.L = &f.mu, &f.mu
	f.release = context.AfterFunc(ctx, func() { f.end(ctx.Err()) })
	go func() {
		defer close(f.left)
		f.read(s)
	}()
	return f
}

// stop ends the reading. wait says to return only when the row at hand has been read.
func (f *feed) stop(wait bool) {
	f.release()
	f.end(context.Canceled)
	if wait {
		<-f.left
	}
}

func (f *feed) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = err
	f.room.Broadcast()
	f.news.Broadcast()
}

func (f *feed) read(s Source) {
	row := make([]float32, s.Example().Size())
	for {
		err := s.ReadRow(row)
		trace := s.Trace()
		trace.Kept = slices.Clone(trace.Kept)
		if !f.put(row, trace, err) {
			return
		}
	}
}

// put adds a row, or what came instead of one, and reports whether to go on.
func (f *feed) put(row []float32, trace dataset.Trace, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.stopped == nil && (len(f.filling.data) == f.most || f.filling.bad != nil || f.filling.ends) {
		f.room.Wait()
	}
	var bad *dataset.RowError
	switch {
	case f.stopped != nil:
		return false
	case err == nil:
		f.filling.data = append(f.filling.data, row...)
		f.filling.traces = append(f.filling.traces, trace)
	case errors.Is(err, dataset.ErrBatchEnd):
		f.filling.ends = true
	case errors.As(err, &bad):
		f.filling.bad, f.filling.from = bad.Err, trace
	default:
		f.filling.err = err
	}
	f.news.Signal()
	return f.filling.err == nil
}

// next waits until there is something. Its data is valid until the next call.
func (f *feed) next() rowBatch {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.stopped == nil && f.filling.empty() {
		f.news.Wait()
	}
	if f.stopped != nil {
		return rowBatch{err: f.stopped}
	}
	b := f.filling
	f.filling = rowBatch{data: f.lent[:0]}
	f.lent = slices.Grow(b.data, f.most-len(b.data))
	f.room.Signal()
	return b
}
