package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// result is what came of a load.
type result struct {
	sent, failed, unsent int
	took, refused        []time.Duration // of answers, and of refusals
	late                 []time.Duration // that the generator itself was behind when it sent
	rate                 float64         // rows answered a second
	batch                float64         // rows of the batch that a request was judged in, in the mean
	processor            float64         // seconds a row
}

// quantile of some times; 0: there are none.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// at is a quantile of the answers' times.
func (r *result) at(q float64) time.Duration { return quantile(r.took, q) }

// asker asks with bodies of its own, one after the other, so that rows are not those that were asked about just before.
type asker struct {
	lines  *lines
	bodies [][]byte // requests as they are on the wire
	at     atomic.Int64
	mu     sync.Mutex
	result
}

// keptNumbers is about how many numbers the bodies of an asker have together.
const keptNumbers = 1 << 22

func (s *server) asker(rows int, timeout time.Duration) *asker {
	shape, size := strconv.Itoa(rows), int64(rows)
	for _, d := range s.row {
		shape += "," + strconv.FormatInt(d, 10)
		size *= d
	}
	parameters := ""
	if timeout > 0 {
		parameters = fmt.Sprintf(`"parameters":{"timeout":%d},`, timeout.Microseconds())
	}
	head := fmt.Sprintf(`{%s"inputs":[{"name":"x","datatype":"FP32","shape":[%s],"parameters":{"binary_data_size":%d}}]}`, parameters, shape, 4*size)
	a := &asker{lines: &lines{at: s.http}}
	n := int(max(1, min(4096, keptNumbers/size)))
	data := numbers(n*rows, s.row)
	for i := range n {
		body := append([]byte(head), data[i*len(data)/n:(i+1)*len(data)/n]...)
		a.bodies = append(a.bodies, post(s.http, "/v2/models/"+s.model+"/infer", body, len(head)))
	}
	return a
}

// ask sends one request, which was due at a time, and notes what comes of it.
func (a *asker) ask(ctx context.Context, due time.Time) error {
	body := a.bodies[int(a.at.Add(1))%len(a.bodies)]
	late := time.Since(due)
	status, text, err := a.lines.ask(ctx, body)
	took := time.Since(due)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent++
	a.late = append(a.late, late)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			a.failed++
		}
	case status == http.StatusOK:
		a.took = append(a.took, took)
	case status == http.StatusTooManyRequests:
		a.refused = append(a.refused, took)
	default:
		if a.failed++; status != http.StatusGatewayTimeout {
			return fmt.Errorf("%d: %s", status, strings.TrimSpace(text))
		}
	}
	return nil
}

// closed has clients that ask one after the other.
func (s *server) closed(ctx context.Context, clients, rows int, d time.Duration) (result, error) {
	a := s.asker(rows, 0)
	defer a.lines.close()
	for range 20 { // warm
		if err := a.ask(ctx, time.Now()); err != nil {
			return result{}, err
		}
	}
	a.result = result{}
	sum, count, err := s.batches(ctx)
	if err != nil {
		return result{}, err
	}
	before, err := processor(s.cmd.Process.Pid)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for c := range clients {
		wg.Go(func() {
			for time.Since(began) < d && errs[c] == nil && ctx.Err() == nil {
				errs[c] = a.ask(ctx, time.Now())
			}
		})
	}
	wg.Wait()
	seconds := time.Since(began).Seconds()
	after, err := processor(s.cmd.Process.Pid)
	if err := errors.Join(append(errs, err, ctx.Err())...); err != nil {
		return result{}, err
	}
	done := len(a.took) * rows
	if done == 0 {
		return result{}, errors.New("nothing was answered")
	}
	sum2, count2, err := s.batches(ctx)
	a.rate, a.processor, a.batch = float64(done)/seconds, (after-before)/float64(done), (sum2-sum)/max(1, count2-count)
	return a.result, err
}

// mostOpen is how many requests may be under way at once.
const mostOpen = 4000

// open sends requests of one row at a rate, evenly, whether or not those before were answered. Times are from when
// each was due.
func (s *server) open(ctx context.Context, rate float64, d, timeout time.Duration) (result, error) {
	a := s.asker(1, timeout)
	defer a.lines.close()
	room := make(chan struct{}, mostOpen)
	var wg sync.WaitGroup
	began := time.Now()
	runtime.LockOSThread() // whose sleep is finer than that of the scheduler
	defer runtime.UnlockOSThread()
	for i := 0; ctx.Err() == nil; i++ {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if due.Sub(began) >= d {
			break
		}
		if wait := time.Until(due); wait > 0 {
			pause(wait) // if it ends early, so be it
		}
		select {
		case room <- struct{}{}:
		default:
			a.unsent++
			continue
		}
		wg.Go(func() {
			_ = a.ask(ctx, due) // it is counted
			<-room
		})
	}
	wg.Wait()
	return a.result, ctx.Err()
}
