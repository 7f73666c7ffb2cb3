// Package events is a sink of CloudEvents for KServe's payload logger: it joins requests
// and responses of inferences by their id, judges them beside the model, and replies
// with CloudEvents of what it found.
//
// Events come over HTTP in binary, structured or batched mode. Their types are
// org.kubeflow.serving.inference.request and .response; their data are bodies of the
// Open Inference Protocol, in JSON or with binary tensors after it, whose length need
// not be told. An event is answered with 200 before anything is judged, also one that is
// then dropped and what is no event, which the body says and the counters: the logger takes any
// other answer for a failure and holds up the model.
package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// Types of events.
const (
	TypeRequest  = "org.kubeflow.serving.inference.request"
	TypeResponse = "org.kubeflow.serving.inference.response"
	TypeOutlier  = "org.kubeflow.serving.inference.outlier" // of replies
)

// Options of New.
type Options struct {
	ReplyURL      string        // "": nobody is told
	Type          string        // of replies; "": TypeOutlier
	Input, Output string        // as proxy.Model has them
	Wait          time.Duration // that one half waits for the other; 0: a minute
	Pairs         int           // halves that wait; 0: 4,096
	MaxBody       int64         // bytes of an event; 0: 64 MiB
	Memory        int64         // bytes of all that waits, and again of all that is read; 0: four times MaxBody
	Queue         int           // inferences that wait to be judged; 0: 256
	Kinds         *judge.Kinds  // of what model servers answered; nil: one of its own
	Logger        hclog.Logger  // nil: none
}

// Sink is an http.Handler that takes events.
type Sink struct {
	o       Options
	models  judge.Models
	join    *joiner
	queue   chan pair
	held    atomic.Int64 // bytes of the queue
	reading atomic.Int64 // bytes of events that are read
	client  *http.Client
	end     context.CancelFunc
	wg      sync.WaitGroup
	drain   chan struct{} // closed when nothing more comes
	idle    chan struct{} // closed when nobody judges any more
	fetched sync.WaitGroup
	unfetch context.CancelFunc                           // nil: nothing is fetched
	room    chan struct{}                                // told when an inference has left the queue
	topic   *topic                                       // nil: there is none
	alarms  chan struct{}                                // that are being told
	limited func() (context.Context, context.CancelFunc) // of a reply, which Close ends
	counts  struct{ events, ignored, judged, flagged, skipped, dropped, failed, replied, unreplied atomic.Int64 }
}

// pair is an inference.
type pair struct{ request, response event }

// finish tells that nothing more comes of it.
func (p pair) finish() {
	p.request.finish()
	p.response.finish()
}

// again reports whether it comes again if nothing comes of it now.
func (p pair) again() bool { return p.request.kafka && p.response.kafka }

func (p pair) size() int64 { return int64(len(p.request.data) + len(p.response.data)) }

// workers is how many inferences are judged at once: the guard gathers them into batches.
const workers = 4

// The most that an inference and a reply may take.
const (
	judgeTime = 30 * time.Second
	replyTime = 10 * time.Second
)

// New starts a sink. The caller must Close it.
func New(models judge.Models, o Options) *Sink {
	if o.Type == "" {
		o.Type = TypeOutlier
	}
	if o.Wait <= 0 {
		o.Wait = time.Minute
	}
	if o.Pairs <= 0 {
		o.Pairs = 4096
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 64 << 20
	}
	if o.Memory <= 0 {
		o.Memory = 4 * o.MaxBody
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Kinds == nil {
		o.Kinds = judge.NewKinds(judge.KindsOptions{Logger: o.Logger})
	}
	ctx, end := context.WithCancel(context.Background())
	s := &Sink{o: o, models: models, join: newJoiner(o.Wait, o.Pairs, o.Memory), queue: make(chan pair, o.Queue), room: make(chan struct{}, 1), alarms: make(chan struct{}, mostAlarms), end: end,
		limited: func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, replyTime) }, drain: make(chan struct{}), idle: make(chan struct{}),
		client: &http.Client{Timeout: replyTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	var judges sync.WaitGroup
	for range workers {
		judges.Go(func() { s.work(ctx) })
	}
	s.wg.Go(func() {
		judges.Wait()
		close(s.idle)
	})
	return s
}

// Drain lets inferences that wait be judged, and told, until ctx is done. Nothing is fetched any more, and of
// what comes after it nothing is judged. Once, before Close.
func (s *Sink) Drain(ctx context.Context) {
	if s.unfetch != nil {
		s.unfetch()
		s.fetched.Wait()
	}
	close(s.drain)
	select {
	case <-s.idle:
	case <-ctx.Done():
	}
}

// Close ends the sink. What waits is dropped and counted, but for what comes again from Kafka.
func (s *Sink) Close() {
	s.end()
	s.wg.Wait()
	dropped, lost := s.sweep(), s.join.clear()
	if dropped+lost > 0 {
		s.o.Logger.Warn("the end came before events were judged", "inferences", dropped, "halves", lost)
	}
	if s.topic != nil {
		s.topic.close()
	}
	s.client.CloseIdleConnections()
}

// ServeHTTP implements http.Handler.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if s.shed(r) {
		return
	}
	in := &tensors.Meter{Reader: http.MaxBytesReader(w, r.Body, s.o.MaxBody), Held: &s.reading, Most: s.o.Memory, Full: errFull}
	defer in.Release()
	body, err := io.ReadAll(in)
	var long *http.MaxBytesError
	switch {
	case errors.Is(err, errFull):
		s.counts.dropped.Add(1)
		s.o.Logger.Debug("there is no memory for an event")
		return
	case errors.As(err, &long):
		s.counts.dropped.Add(1)
		s.o.Logger.Debug("an event is too long")
		return // 200: the logger would try it again
	case err != nil:
		http.Error(w, "the event ends early", http.StatusBadRequest)
		return
	}
	list, err := read(r.Header, body)
	if err != nil { // 200 too: its sender would try it again, and hold up the model
		s.counts.events.Add(1)
		s.counts.failed.Add(1)
		s.o.Logger.Debug("what came is no event")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = fmt.Fprintln(w, err) // for who looks; the logger does not
		return
	}
	for _, e := range list {
		s.take(r.Context(), e)
	}
}

// shed drops an event before it is read that would be dropped after: there is no memory for it, or it is the answer of
// an inference, and there is no room in the queue.
func (s *Sink) shed(r *http.Request) bool {
	if s.reading.Load() >= s.o.Memory {
		s.counts.dropped.Add(1)
		return true
	}
	if len(s.queue) < cap(s.queue) {
		return false
	}
	e, ok := unread(r.Header)
	if !ok || e.kind != TypeResponse || !s.join.drop(e) {
		return false // a request may find room by the time that its answer comes
	}
	s.counts.events.Add(1)
	s.counts.dropped.Add(1)
	return true
}

// errFull says that events have all the memory that they may have.
var errFull = errors.New("too many events are read")

// take takes an event. It waits for room, until ctx is done, for what came from Kafka alone.
func (s *Sink) take(ctx context.Context, e event) {
	s.counts.events.Add(1)
	if e.kind != TypeRequest && e.kind != TypeResponse {
		s.counts.ignored.Add(1)
		e.finish()
		return
	}
	e.cause = caused(ctx, e)
	e.traceParent, e.traceState = "", "" // it waits without them
	other, ok := s.join.put(e)
	if !ok {
		return
	}
	p := pair{e, other}
	if e.kind == TypeResponse {
		p = pair{other, e}
	}
	for !s.offer(p) {
		if !e.kafka {
			s.counts.dropped.Add(1)
			p.finish()
			return
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return // it comes again
		}
	}
}

// sweep drops what waits, and says how many inferences that were.
func (s *Sink) sweep() (n int) {
	for {
		select {
		case p := <-s.queue:
			s.held.Add(-p.size())
			if !p.again() {
				n++
				s.counts.dropped.Add(1)
				p.finish()
			}
		default:
			return n
		}
	}
}

// offer puts an inference into the queue if there is room.
func (s *Sink) offer(p pair) bool {
	if s.held.Add(p.size()) <= s.o.Memory || s.held.Load() == p.size() {
		select {
		case s.queue <- p:
			select {
			case <-s.idle:
				s.sweep()
			default:
			}
			return true
		default:
		}
	}
	s.held.Add(-p.size())
	return false
}

// Counters are totals since a sink was made, but for Waiting and Held, which are of now.
type Counters struct {
	Events    int64 // that came
	Ignored   int64 // of other types
	Twice     int64 // that came again while they waited
	Lost      int64 // halves whose other never came in time
	Judged    int64 // inferences
	Flagged   int64 // rows
	Skipped   int64 // inferences that the sample or the budget left out
	Dropped   int64 // inferences that found no room, and events that were too long
	Failed    int64 // inferences that could not be read or judged, and what was no event
	Replied   int64
	Unreplied int64 // replies that were not taken
	Waiting   int   // halves
	Held      int64 // bytes of them
}

// Counters are what has happened so far.
func (s *Sink) Counters() Counters {
	c := &s.counts
	out := Counters{Events: c.events.Load(), Ignored: c.ignored.Load(), Judged: c.judged.Load(), Flagged: c.flagged.Load(), Skipped: c.skipped.Load(),
		Dropped: c.dropped.Load(), Failed: c.failed.Load(), Replied: c.replied.Load(), Unreplied: c.unreplied.Load()}
	out.Waiting, out.Held, out.Lost, out.Twice = s.join.state()
	return out
}
