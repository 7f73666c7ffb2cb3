package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is what came of a load.
type result struct {
	sent, failed, unsent int
	took, refused        []time.Duration // of answers, and of refusals; took is sorted
	rate                 float64         // rows answered a second
	batch                float64         // rows of the batch that a request was judged in, in the mean
	processor            float64         // seconds a row
}

// at is a quantile of the answers' times; 0: there are none.
func (r *result) at(q float64) time.Duration {
	if len(r.took) == 0 {
		return 0
	}
	slices.Sort(r.took)
	return r.took[min(len(r.took)-1, int(q*float64(len(r.took))))]
}

// asker asks with one body.
type asker struct {
	s      *server
	body   []byte
	header int
	mu     sync.Mutex
	result
}

func (s *server) asker(rows int, timeout time.Duration) *asker {
	shape := strconv.Itoa(rows)
	for _, d := range s.row {
		shape += "," + strconv.FormatInt(d, 10)
	}
	data := numbers(rows, s.row)
	parameters := ""
	if timeout > 0 {
		parameters = fmt.Sprintf(`"parameters":{"timeout":%d},`, timeout.Microseconds())
	}
	head := fmt.Sprintf(`{%s"inputs":[{"name":"x","datatype":"FP32","shape":[%s],"parameters":{"binary_data_size":%d}}]}`, parameters, shape, len(data))
	return &asker{s: s, body: append([]byte(head), data...), header: len(head)}
}

// ask sends one request and notes what comes of it.
func (a *asker) ask(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.s.http+"/v2/models/"+a.s.model+"/infer", bytes.NewReader(a.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("Inference-Header-Content-Length", strconv.Itoa(a.header))
	began := time.Now()
	resp, err := a.s.client.Do(r)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close() // it was read to its end
	}
	took := time.Since(began)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent++
	switch {
	case err != nil:
		if ctx.Err() == nil {
			a.failed++
		}
	case resp.StatusCode == http.StatusOK:
		a.took = append(a.took, took)
	case resp.StatusCode == http.StatusTooManyRequests:
		a.refused = append(a.refused, took)
	default:
		if a.failed++; resp.StatusCode != http.StatusGatewayTimeout {
			return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
		}
	}
	return nil
}

// closed has clients that ask one after the other.
func (s *server) closed(ctx context.Context, clients, rows int, d time.Duration) (result, error) {
	a := s.asker(rows, 0)
	for range 20 { // warm
		if err := a.ask(ctx); err != nil {
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
				errs[c] = a.ask(ctx)
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

// open sends requests of one row at a rate, whether or not those before were answered.
func (s *server) open(ctx context.Context, rate float64, d, timeout time.Duration) (result, error) {
	a := s.asker(1, timeout)
	room := make(chan struct{}, mostOpen)
	var wg sync.WaitGroup
	began := time.Now()
	for i := 0; time.Since(began) < d && ctx.Err() == nil; i++ {
		if wait := time.Until(began.Add(time.Duration(float64(i) / rate * float64(time.Second)))); wait > 0 {
			time.Sleep(wait)
		}
		select {
		case room <- struct{}{}:
		default:
			a.unsent++
			continue
		}
		wg.Go(func() {
			_ = a.ask(ctx) // it is counted
			<-room
		})
	}
	wg.Wait()
	return a.result, ctx.Err()
}
