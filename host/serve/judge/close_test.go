package judge_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// Close does not wait for requests that are judged once more, each by itself, beyond its own time: they may have any.
func TestCloseWhileJudgedAgain(t *testing.T) {
	w := trained(t)
	g := judge.New(w.Open(t), judge.Options{Concurrency: 1})
	w.Control(t, servetest.Hold)
	r := rand.New(rand.NewPCG(1, 1))
	var wg sync.WaitGroup
	ask := func(first float32) <-chan error {
		in, said := rows(r, 1), make(chan error, 1)
		in.X.Data[0] = first
		wg.Go(func() {
			_, err := g.Judge(t.Context(), judge.Request{Rows: in})
			said <- err
		})
		return said
	}
	ask(0)
	await(t, func() bool { return g.Counters().Batching == 1 })
	bad := ask(2)
	await(t, func() bool { return g.Counters().Waiting == 1 })
	for range 60 {
		ask(0)
	}
	await(t, func() bool { return g.Counters().Waiting == 61 })
	w.Control(t, servetest.Refuse)
	<-bad // the first of its batch, of which some are still to be judged
	w.Control(t, servetest.Hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan struct{})
	go func() {
		g.Close(ctx)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second): // half of what the classifier may take
		t.Error("it waits for the classifier")
		w.Control(t, servetest.Works)
		<-ended
	}
	wg.Wait()
}
