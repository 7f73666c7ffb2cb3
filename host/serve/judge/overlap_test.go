package judge_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// spans counts those that have begun and ended, by name.
type spans struct {
	mu           sync.Mutex
	began, ended map[string]int
}

func (s *spans) OnStart(_ context.Context, span sdktrace.ReadWriteSpan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began[span.Name()]++
}

func (s *spans) OnEnd(span sdktrace.ReadOnlySpan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[span.Name()]++
}

func (*spans) Shutdown(context.Context) error   { return nil }
func (*spans) ForceFlush(context.Context) error { return nil }

func (s *spans) counts(name string) (began, ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began[name], s.ended[name]
}

// While the classifier answers for one batch the host encodes and decodes the next one,
// unless concurrency is 1; the verdicts are the same.
func TestNextBatchWhileTheClassifierAnswers(t *testing.T) {
	w := trained(t)
	var results [2]*detect.Result
	for i, concurrency := range []int{0, 1} { // the default first
		s := &spans{began: map[string]int{}, ended: map[string]int{}}
		p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s))
		g := start(t, w.Open(t), judge.Options{MaxRows: 2, Concurrency: concurrency, Tracer: p.Tracer("test")})
		w.Control(t, servetest.Hang)
		r := rand.New(rand.NewPCG(4, 2))
		ctx, leave := context.WithCancel(t.Context())
		var judged sync.WaitGroup
		for k := range 2 {
			in := rows(r, 2)
			judged.Go(func() {
				if _, err := g.Judge(ctx, judge.Request{Rows: in}); !errors.Is(err, context.Canceled) {
					t.Errorf("who left: %v", err)
				}
			})
			await(t, func() bool { // until the first is asked about
				asked, _ := s.counts("P and Q")
				return asked > 0 || k > 0
			})
		}
		await(t, func() bool {
			_, decoded := s.counts("decode")
			return decoded == 2 || concurrency == 1 && g.Counters().Waiting == 2
		})
		if began, _ := s.counts("encode"); concurrency == 1 && began != 1 {
			t.Errorf("with one batch at once %d are encoded", began)
		}
		if _, answered := s.counts("P and Q"); answered != 0 {
			t.Errorf("concurrency %d: %d batches are answered already", concurrency, answered)
		}
		leave()
		judged.Wait()
		w.Control(t, servetest.Works)
		var err error
		if results[i], err = g.Judge(t.Context(), judge.Request{Rows: rows(r, 7)}); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(results[0], results[1]) {
		t.Errorf("verdicts %+v, one batch after the other %+v", results[0], results[1])
	}
}
