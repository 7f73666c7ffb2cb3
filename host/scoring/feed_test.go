package scoring

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// slow is a source that takes its time for a row, and knows whether it is being read.
type slow struct{ reading atomic.Bool }

func (s *slow) Example() tensor.Shape { return tensor.Shape{1} }
func (s *slow) Trace() dataset.Trace  { return dataset.Trace{} }

func (s *slow) ReadRow(dst []float32) error {
	s.reading.Store(true)
	time.Sleep(20 * time.Millisecond)
	dst[0] = 1
	s.reading.Store(false)
	return nil
}

// TestFeedWaits: who waits for the end of a feed may close its source: nobody reads it
// any more. Who does not wait is not held up by a source that is silent.
func TestFeedWaits(t *testing.T) {
	s := &slow{}
	for range 5 {
		f := newFeed(t.Context(), s, 100)
		_ = f.next()
		for !s.reading.Load() {
			time.Sleep(time.Millisecond)
		}
		f.stop(true)
		if s.reading.Load() {
			t.Fatal("the source is read after the feed has ended")
		}
	}
	f := newFeed(t.Context(), s, 100)
	for !s.reading.Load() {
		time.Sleep(time.Millisecond)
	}
	f.stop(false)
}
