package judge_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// A request that had too little time is that, and no classifier that is away: neither in
// its answer, nor in the counts and the log.
func TestShortTimes(t *testing.T) {
	w := trained(t)
	var log bytes.Buffer // written under hclog's lock, read after Close
	g := judge.New(w.Open(t), judge.Options{Concurrency: 2, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	w.Control(t, servetest.Slow(15*time.Millisecond))
	const clients, each = 1, 150
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 2))
			for range each {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(10_000+r.IntN(8_000))*time.Microsecond)
				_, err := g.Judge(ctx, judge.Request{Rows: rows(r, 1)})
				cancel()
				var over *judge.OverloadedError
				if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &over) {
					t.Errorf("%v", err)
				}
				if g.Away() {
					t.Error("the classifier is taken for away")
				}
			}
		})
	}
	wg.Wait()
	g.Close(context.Background())
	c := g.Counters()
	if c.Left == 0 || c.Away+c.Failed+c.Refused != 0 || c.Restarts != 0 || strings.Contains(log.String(), "away") {
		t.Errorf("%+v\n%s", c, log.String())
	}
	t.Logf("%d judged, %d out of time, %d refused before", c.Requests, c.Left, c.Shed)
}
