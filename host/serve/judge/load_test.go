package judge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// BenchmarkJudge compares rows a second through the queue with the engine's own, for
// requests of 1 and of 8 rows from clients that ask one after the other.
func BenchmarkJudge(b *testing.B) {
	d := servetest.Train(b, components(), b.TempDir()+"/guard", 0).Open(b)
	in := rows(rand.New(rand.NewPCG(1, 1)), 64)
	b.Run("engine", func(b *testing.B) {
		for range b.N {
			if _, err := d.DetectRows(b.Context(), in, judge.Request{}.Include); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(64*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("requests of %d", n), func(b *testing.B) {
			g := judge.New(d, judge.Options{MaxDelay: 2 * time.Millisecond, Concurrency: 1})
			defer g.Close(context.Background())
			part := &dataset.Data{X: in.X.Rows(0, n)}
			b.SetParallelism(128 / n)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := g.Judge(b.Context(), judge.Request{Rows: part}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			c := g.Counters()
			b.ReportMetric(float64(c.Rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(c.BatchRows)/float64(c.Batches), "rows/batch")
		})
	}
}

// BenchmarkOverload asks for far more than can be judged, with a deadline: the time of
// what is accepted stays bounded, and the rest is refused soon.
func BenchmarkOverload(b *testing.B) {
	w := servetest.Train(b, components(), b.TempDir()+"/guard", 0)
	d := w.Open(b)
	w.Control(b, servetest.Slow(10*time.Millisecond)) // 2 batches of 8 rows each 10 ms: 1,600 rows a second
	g := judge.New(d, judge.Options{MaxRows: 8, Queue: 64, Deadline: 200 * time.Millisecond})
	defer g.Close(context.Background())
	in := rows(rand.New(rand.NewPCG(1, 1)), 1)
	b.ResetTimer()
	var mu sync.Mutex
	var accepted, refused []time.Duration
	for range b.N {
		var wg sync.WaitGroup
		for range 400 {
			wg.Go(func() {
				began := time.Now()
				_, err := g.Judge(b.Context(), judge.Request{Rows: in})
				took := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				var over *judge.OverloadedError
				switch {
				case err == nil:
					accepted = append(accepted, took)
				case errors.As(err, &over):
					refused = append(refused, took)
				default:
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	late := func(took []time.Duration) float64 {
		if len(took) == 0 {
			return 0
		}
		slices.Sort(took)
		return float64(took[len(took)*99/100].Microseconds()) / 1000
	}
	b.ReportMetric(late(accepted), "ms-accepted-p99")
	b.ReportMetric(late(refused), "ms-refused-p99")
	b.ReportMetric(float64(len(accepted))/float64(len(accepted)+len(refused)), "accepted")
}

// Guards that were closed leave no goroutine, whatever became of their requests.
func TestLeavesNothing(t *testing.T) {
	w := trained(t)
	d := w.Open(t)
	r := rand.New(rand.NewPCG(1, 1))
	in := rows(r, 1)
	round := func(way string) {
		w.Control(t, way)
		g := judge.New(d, judge.Options{MaxRows: 2, Concurrency: 2, Queue: 8, Deadline: 100 * time.Millisecond})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _, _ = g.Judge(t.Context(), judge.Request{Rows: in}) })
		}
		wg.Wait()
		g.Close(t.Context())
	}
	ways := []string{servetest.Works, servetest.Hang, servetest.Away, servetest.Works}
	for _, way := range ways { // what is made once
		round(way)
	}
	before := runtime.NumGoroutine()
	for range 3 {
		for _, way := range ways {
			round(way)
		}
	}
	await(t, func() bool { return runtime.NumGoroutine() <= before })
}
