// Package events is a sink of CloudEvents for KServe's payload logger: it joins requests
// and responses of inferences by their id, judges them beside the model, and replies
// with CloudEvents of what it found.
//
// Events come over HTTP in binary, structured or batched mode. Their types are
// org.kubeflow.serving.inference.request and .response; their data are bodies of the
// Open Inference Protocol, in JSON or with binary tensors after it, whose length need
// not be told. An event is answered with 200 before anything is judged, also one that is
// then dropped: the logger takes any other answer for a failure and holds up the model.
package events

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
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
	room    chan struct{} // told when an inference has left the queue
	topic   *topic        // nil: there is none
	counts  struct{ events, ignored, judged, flagged, skipped, dropped, failed, replied, unreplied atomic.Int64 }
}

// pair is an inference.
type pair struct{ request, response event }

// finish tells that nothing more comes of it.
func (p pair) finish() {
	p.request.finish()
	p.response.finish()
}

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
	ctx, end := context.WithCancel(context.Background())
	s := &Sink{o: o, models: models, join: newJoiner(o.Wait, o.Pairs, o.Memory), queue: make(chan pair, o.Queue), room: make(chan struct{}, 1), end: end,
		client: &http.Client{Timeout: replyTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for range workers {
		s.wg.Go(func() { s.work(ctx) })
	}
	return s
}

// Close ends the sink. What waits is dropped.
func (s *Sink) Close() {
	s.end()
	s.wg.Wait()
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
	in := &metered{Reader: http.MaxBytesReader(w, r.Body, s.o.MaxBody), s: s}
	defer in.release()
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
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, e := range list {
		s.take(r.Context(), e)
	}
}

// errFull says that events have all the memory that they may have.
var errFull = errors.New("too many events are read")

// metered counts the bytes of events that are read, as they come: what is declared holds nothing yet.
type metered struct {
	io.Reader
	s *Sink
	n int64
}

// Read implements io.Reader.
func (m *metered) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	m.n += int64(n)
	if m.s.reading.Add(int64(n)) > m.s.o.Memory {
		return n, errFull
	}
	return n, err
}

// release lets go of what was read.
func (m *metered) release() { m.s.reading.Add(-m.n) }

// take takes an event. It waits for room, until ctx is done, for what came from Kafka alone.
func (s *Sink) take(ctx context.Context, e event) {
	s.counts.events.Add(1)
	if e.kind != TypeRequest && e.kind != TypeResponse {
		s.counts.ignored.Add(1)
		e.finish()
		return
	}
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

// offer puts an inference into the queue if there is room.
func (s *Sink) offer(p pair) bool {
	if s.held.Add(p.size()) <= s.o.Memory || s.held.Load() == p.size() {
		select {
		case s.queue <- p:
			return true
		default:
		}
	}
	s.held.Add(-p.size())
	return false
}

// work judges inferences until the sink is closed.
func (s *Sink) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-s.queue:
			err := s.judgeAgain(ctx, p)
			s.held.Add(-p.size())
			select {
			case s.room <- struct{}{}:
			default:
			}
			if err != nil && ctx.Err() != nil {
				return // what came from Kafka comes again
			}
			p.finish()
			var skipped *judge.SkippedError
			switch {
			case errors.As(err, &skipped):
				s.counts.skipped.Add(1)
			case err != nil:
				s.counts.failed.Add(1)
				s.o.Logger.Debug("an inference was not judged", "error", err)
			}
		}
	}
}

// judgeAgain judges an inference. One from Kafka is judged again for as long as what stands in
// the way may pass: the model is not ready, its classifier is away, or others come first.
func (s *Sink) judgeAgain(ctx context.Context, p pair) error {
	for {
		err := s.judge(ctx, p)
		var away *judge.UnavailableError
		var over *judge.OverloadedError
		if !p.request.kafka || !errors.As(err, &away) && !errors.As(err, &over) {
			return err
		}
		select {
		case <-time.After(againAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// againAfter is when an inference that could not be judged is judged again.
const againAfter = 500 * time.Millisecond

// lease is the model of an event: the one that its service or its answer is called, or the
// only one that there is.
func (s *Sink) lease(service, model string) (judge.Model, func(), error) {
	var missing *judge.NotFoundError
	for _, name := range []string{service, model} {
		if name == "" {
			continue
		}
		if m, done, err := s.models.Lease(name, ""); err == nil || !errors.As(err, &missing) {
			return m, done, err
		}
	}
	name := ""
	for _, m := range s.models.List() {
		if name != "" && m.Name != name {
			return nil, nil, &judge.NotFoundError{Name: service}
		}
		name = m.Name
	}
	return s.models.Lease(name, "")
}

// judge judges an inference and tells of it.
func (s *Sink) judge(ctx context.Context, p pair) error {
	header, err := p.request.header()
	if err != nil {
		return err
	}
	if err := tensors.CheckMembers(head(p.request.data, header)); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	q, err := tensors.ParseRequest(p.request.data, header, tensors.Limits{})
	v1 := false
	if header < 0 && (err != nil || len(q.Inputs) == 0) { // perhaps KServe's V1
		one, other := tensors.ParseRequestV1(p.request.data, tensors.Limits{})
		if v1 = other == nil; v1 {
			q, err = one, nil
		}
	}
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if header, err = p.response.header(); err != nil {
		return err
	}
	parse := func() (tensors.Response, error) {
		if v1 {
			return tensors.ParseResponseV1(p.response.data, tensors.Limits{})
		}
		return tensors.ParseResponse(p.response.data, header, tensors.Limits{})
	}
	r, err := parse()
	if err != nil {
		return fmt.Errorf("response: %w", err)
	}
	m, done, err := s.lease(p.request.service, r.Model)
	if err != nil {
		return err
	}
	defer done()
	asked, err := proxy.Answered(m.Detector(), s.o.Input, s.o.Output, q, r)
	if err != nil {
		return err
	}
	asked.Optional, asked.Way, asked.ID = true, "events", p.request.id
	within, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	v, err := m.Judge(within, asked)
	if err != nil {
		return err
	}
	s.counts.judged.Add(1)
	for _, f := range v.Adversarial {
		if f {
			s.counts.flagged.Add(1)
		}
	}
	reply := s.reply
	switch {
	case p.request.kafka && s.topic.reply != "":
		reply = s.topic.tell
	case p.request.kafka || s.o.ReplyURL == "":
		return nil
	}
	about, body, err := s.verdict(p.request, m, v)
	if err != nil {
		return err
	}
	if err := reply(ctx, about, body); err != nil {
		if p.request.kafka && ctx.Err() != nil {
			return err
		}
		s.counts.unreplied.Add(1)
		s.o.Logger.Warn("a reply was not taken", "error", err)
		return nil
	}
	s.counts.replied.Add(1)
	return nil
}

// head is the JSON of a body.
func head(body []byte, header int64) []byte {
	if header < 0 || header > int64(len(body)) {
		return body
	}
	return body[:header]
}

// Verdict is the data of a reply, a number for each row. Scores that are infinite are
// null.
type Verdict struct {
	ID            string     `json:"id"` // of the request
	Model         string     `json:"model_name"`
	Version       string     `json:"model_version"`
	IsAdversarial []int      `json:"is_adversarial"`
	Score         []*float64 `json:"instance_score"`
	PValue        []float64  `json:"p_value,omitempty"`
	Predicted     []int      `json:"predicted"`
	Reconstructed []int      `json:"reconstructed"`
	Corrected     []int      `json:"corrected"`
}

// verdict is the reply to an event: its attributes, and its data.
func (s *Sink) verdict(e event, m judge.Model, v *detect.Result) (map[string]string, []byte, error) {
	out := Verdict{ID: e.id, Model: m.Name(), Version: m.Version(), PValue: v.PValue, Predicted: v.Predicted, Reconstructed: v.Reconstructed, Corrected: v.Corrected}
	for i, f := range v.Adversarial {
		flag, score := 0, &v.Score[i]
		if f {
			flag = 1
		}
		if *score-*score != 0 {
			score = nil
		}
		out.IsAdversarial, out.Score = append(out.IsAdversarial, flag), append(out.Score, score)
	}
	body, err := json.Marshal(out)
	id := rand.Text()
	if e.kafka {
		id = e.id // where a reply may be sent twice, readers can tell
	}
	return map[string]string{"specversion": "1.0", "id": id, "type": s.o.Type, "source": "/vaeguard/" + m.Name(), "time": time.Now().UTC().Format(time.RFC3339Nano),
		"requestid": e.id, "inferenceservicename": e.service, "namespace": e.space, "endpoint": e.endpoint}, body, err
}

// reply tells of a verdict.
func (s *Sink) reply(ctx context.Context, about map[string]string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.ReplyURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range about {
		if value != "" {
			r.Header.Set("Ce-"+name, escape(value))
		}
	}
	a, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(a.Body, 64<<10)) // so that the connection is used again
	if a.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", s.o.ReplyURL, tensors.Quote(a.Status))
	}
	return nil
}

// escape is a value as the HTTP binding has it in a header.
func escape(v string) string {
	var out []byte
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			out = fmt.Appendf(out, "%%%02X", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
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
	Failed    int64 // inferences that could not be read or judged
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
