// Package proxy is the guard before somebody's model server: Triton, KServe, MLServer or
// vaeguard itself. Every path and call passes byte for byte, and only inferences of
// the Open Inference Protocol are judged, whose rows are the caller's and whose first
// opinion is the answer of the model server: it is asked once for the user's rows,
// and again for their reconstructions alone.
//
// # Policies
//
// observe judges beside: no request waits, and what finds no room is dropped and
// counted. annotate adds the verdict to the answer, as parameters vaeguard_* and
// headers X-Vaeguard-* (over gRPC trailers). block refuses a request with a flagged
// row. correct annotates, and replaces the class of flagged rows by the one that detect gives
// them, which is that of their reconstruction unless detector.correct holds it back.
//
// # What is not judged
//
// Inferences of models that are not guarded, answers that are no success, and
// inferences by other ways: V1's :explain, Triton's generate and ModelStreamInfer,
// MLServer's infer_stream. A guarded model whose failures are closed refuses those, and
// whatever else may be one: it lets pass what it knows to be none.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/host/serve/judge"
)

// Policy is what comes of a verdict.
type Policy string

// The policies.
const (
	Observe  Policy = "observe"
	Annotate Policy = "annotate"
	Block    Policy = "block"
	Correct  Policy = "correct"
)

// Model is one that is guarded.
type Model struct {
	Name   string // of the guard, among the models
	URL    string // of its server, http or https; the client has no say in it
	GRPC   string // its server over gRPC: HOST:PORT, unix:PATH, or grpcs://HOST:PORT for TLS; "": not served
	Model  string // its name there; "": Name
	Input  string // tensor with the rows; "": the only one, or one for each column
	Output string // tensor with the classifier's answer, (n, classes); "": the only floats of that shape
	Policy Policy // "": annotate
	Rows   bool   // Block refuses flagged rows, not requests: the answer has nothing of them
	Closed bool   // what cannot be judged is refused; else it passes, and is counted
}

func (m *Model) upstream() string {
	if m.Model != "" {
		return m.Model
	}
	return m.Name
}

// Options of New.
type Options struct {
	MaxBody int64 // bytes of what is judged, compressed or not; 0: 64 MiB
	Queue   int   // inferences that wait to be observed; 0: 256
	// Client is who asks, as oip.Options has it.
	Client func(ctx context.Context, peer string) string
	// StripAuthorization keeps the token of the guard's own clients from the model
	// server; else what they send passes.
	StripAuthorization bool
	Own                *Own         // models that are served here; nil: none are
	Kinds              *judge.Kinds // of what model servers answer; nil: one of its own
	Logger             hclog.Logger // nil: none
	Tracer             trace.Tracer // of the span P, the model server's answer; nil: none
}

// Proxy stands before the servers of models. It is an http.Handler, and a
// grpc.StreamHandler by Call.
type Proxy struct {
	o       Options
	guards  judge.Models
	table   atomic.Pointer[[]*target]
	dialled sync.Mutex // guards conns
	conns   map[string]*grpc.ClientConn
	held    atomic.Int64 // bytes of bodies
	counts  counts
	queue   chan observed
	drain   chan struct{} // closed when nothing more comes
	end     context.CancelFunc
	workers chan struct{} // closed when all have ended
	life    context.Context
	others  sync.WaitGroup // connections that speak another protocol, which their server knows nothing of any more
	rest    httputil.ReverseProxy

	transport *http.Transport
}

// target is a model and where it is.
type target struct {
	*Model
	url  *url.URL
	conn *grpc.ClientConn // nil: it has none
}

// New makes a proxy of at least one model; what is of no model goes to the server of the
// first. It dials when it is asked. The caller must Close it.
func New(guards judge.Models, models []Model, o Options) (*Proxy, error) {
	if o.MaxBody <= 0 {
		o.MaxBody = 64 << 20
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Tracer == nil {
		o.Tracer = noop.Tracer{}
	}
	if o.Kinds == nil {
		o.Kinds = judge.NewKinds(judge.KindsOptions{Logger: o.Logger})
	}
	p := &Proxy{o: o, guards: guards, queue: make(chan observed, o.Queue), drain: make(chan struct{}), workers: make(chan struct{})}
	if err := p.Update(models); err != nil {
		return nil, err
	}
	p.rest = p.reverse()
	p.observers()
	return p, nil
}

// Update puts other models in the place of those that there are; at least one. Requests that
// are under way stay with those that they came to; calls over a connection that no model has any
// more may take as long as cutAfter. After an error all is as it was.
func (p *Proxy) Update(models []Model) error {
	if len(models) == 0 {
		return errors.New("proxy: no models")
	}
	p.dialled.Lock()
	defer p.dialled.Unlock()
	conns := map[string]*grpc.ClientConn{}
	var table []*target
	for _, m := range models {
		t := &target{Model: &m}
		if t.Policy == "" {
			t.Policy = Annotate
		}
		var err error
		if t.url, err = ParseURL(m.URL); err == nil && m.GRPC != "" && conns[m.GRPC] == nil {
			if conns[m.GRPC] = p.conns[m.GRPC]; conns[m.GRPC] == nil {
				conns[m.GRPC], err = dial(m.GRPC)
			}
		}
		if err != nil {
			closeOthers(conns, p.conns)
			return fmt.Errorf("proxy: model %s: %w", m.Name, err)
		}
		t.conn = conns[m.GRPC]
		table = append(table, t)
	}
	p.table.Store(&table)
	before := p.conns
	p.conns = conns
	time.AfterFunc(cutAfter, func() { closeOthers(before, conns) })
	return nil
}

// cutAfter is how long calls may take whose model has gone to another server.
const cutAfter = time.Minute

// closeOthers closes connections that are not among those that stay.
func closeOthers(conns, stay map[string]*grpc.ClientConn) {
	for at, c := range conns {
		if c != nil && stay[at] != c {
			_ = c.Close() // what it says is of no use to anybody
		}
	}
}

// models are those in force.
func (p *Proxy) models() []*target { return *p.table.Load() }

// ParseURL is the address of a model server.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no URL", text)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q: want http://HOST:PORT or https://HOST:PORT, and perhaps a path", text)
	}
	return u, nil
}

// Drain lets what waits to be observed be judged until ctx is done, and connections that speak another protocol by then, such
// as WebSocket, end by themselves; cut reports whether one has not, which Close cuts off. Of what comes after it nothing is
// judged. Once, before Close.
func (p *Proxy) Drain(ctx context.Context) (cut bool) {
	close(p.drain)
	select {
	case <-p.workers:
	case <-ctx.Done():
	}
	ended := make(chan struct{})
	go func() { // until Close at the latest
		p.others.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return false
	case <-ctx.Done():
	}
	select {
	case <-ended: // both
		return false
	default:
		return true
	}
}

// Close ends the observers, and the connections. What waits to be observed is dropped, and counted.
func (p *Proxy) Close() {
	p.end()
	p.others.Wait()
	<-p.workers
	if n := p.sweep(); n > 0 {
		p.o.Logger.Warn("the end came before inferences were judged that were to be observed", "inferences", n)
	}
	p.dialled.Lock()
	closeOthers(p.conns, nil)
	p.dialled.Unlock()
	p.transport.CloseIdleConnections()
}

// of is the model that a name of the model server has; nil: it is not guarded.
func (p *Proxy) of(name string) *target {
	for _, t := range p.models() {
		if t.upstream() == name {
			return t
		}
	}
	return nil
}

// deadline bounds what nobody waits for.
const deadline = 30 * time.Second

// counts are totals of a proxy.
type counts struct {
	passed, judged, flagged, blocked, corrected, unread, failed, skipped, dropped, refused atomic.Int64
}

// Counters are totals since a proxy was made.
type Counters struct {
	Passed    int64 // requests and calls that are no inference of a guarded model
	Judged    int64 // inferences
	Flagged   int64 // rows
	Blocked   int64 // inferences that were refused for a flagged row
	Corrected int64 // rows that got another class
	Unread    int64 // inferences that passed unjudged: too long, or no rows
	Failed    int64 // inferences that passed unjudged: judging failed
	Skipped   int64 // inferences that the sample or the budget left out
	Dropped   int64 // inferences that found no room to be observed
	Refused   int64 // inferences that were refused since they could not be judged
}

// Counters are what has happened so far.
func (p *Proxy) Counters() Counters {
	c := &p.counts
	return Counters{c.passed.Load(), c.judged.Load(), c.flagged.Load(), c.blocked.Load(), c.corrected.Load(), c.unread.Load(),
		c.failed.Load(), c.skipped.Load(), c.dropped.Load(), c.refused.Load()}
}
