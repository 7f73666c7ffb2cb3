package judge

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
)

// Options of a Guard. The zero value judges every request as it comes, in batches of
// what happens to wait together, without limits but that of the queue.
type Options struct {
	Name, Version string
	MaxRows       int           // judged together at most; 0: 64
	MaxDelay      time.Duration // that a request waits for others to be judged with, while another batch is judged; 0: none
	Concurrency   int           // batches at once, and so calls of the classifier, where that is quicker than one after the other; 0: 2
	Queue         int           // rows that wait, but for a request that alone has more; 0: 1024
	Deadline      time.Duration // of a request, also where its context has none; 0: none
	ClientRows    float64       // rows a second of one client; 0: any number
	Skip          float64       // share of optional requests that are not judged, 0 to 1
	ExtraRows     float64       // rows a second that the guarded classifier is asked for, for optional requests; 0: any number
	Watchers      []Watcher
	Tracer        trace.Tracer // of the spans judge, queue and batch, and in a batch encode, decode, P and Q; nil: none
	Logger        hclog.Logger // nil: none
}

// Guard is a Model around a detector: it gathers requests into batches, bounds
// what waits, and tells the watchers. The caller keeps the detector, and closes it
// after the guard.
type Guard struct {
	o       Options
	d       *host.Detector
	queue   *queue
	clients *clients
	spare   *spare
	counts  counts
	away    atomic.Bool      // the classifier, when it was last asked
	now     func() time.Time // of the limits
}

var (
	_ Model   = (*Guard)(nil)
	_ Bounded = (*Guard)(nil)
)

// New starts a guard. The caller must Close it.
func New(d *host.Detector, o Options) *Guard {
	set := func(v *int, n int) {
		if *v <= 0 {
			*v = n
		}
	}
	set(&o.MaxRows, 64)
	set(&o.Queue, 1024)
	set(&o.Concurrency, 2)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Tracer == nil {
		o.Tracer = noop.Tracer{}
	}
	g := &Guard{o: o, d: d, clients: newClients(o.ClientRows), spare: newSpare(o.Skip, o.ExtraRows), now: time.Now}
	g.queue = newQueue(o, g.run)
	return g
}

// Name implements Model.
func (g *Guard) Name() string { return g.o.Name }

// Version implements Model.
func (g *Guard) Version() string { return g.o.Version }

// Detector implements Model.
func (g *Guard) Detector() *host.Detector { return g.d }

// Admit implements Bounded.
func (g *Guard) Admit(ctx context.Context, way, client string) error {
	now := time.Now()
	end, limited := ctx.Deadline()
	if own := now.Add(g.o.Deadline); g.o.Deadline > 0 && (!limited || own.Before(end)) {
		end, limited = own, true
	}
	var left time.Duration
	if limited {
		left = end.Sub(now)
	}
	err := g.queue.admits(left, limited)
	if err == nil {
		err = g.clients.empty(g.now(), client)
	}
	if err == nil {
		return nil
	}
	g.tell(&Event{Model: g, Request: Request{Way: way, Client: client}, Err: err, Start: now, Took: time.Since(now)})
	return err
}

// tell counts what became of a request.
func (g *Guard) tell(e *Event) {
	g.counts.add(e)
	for _, w := range g.o.Watchers {
		w.Judged(*e)
	}
}

// Judge implements Model.
func (g *Guard) Judge(ctx context.Context, r Request) (*detect.Result, error) {
	e := Event{Model: g, Request: r, Start: time.Now()}
	ctx, span := g.span(ctx, r)
	e.Result, e.Err = g.judge(ctx, r, &e)
	e.Took = time.Since(e.Start)
	g.spanned(ctx, span, &e)
	g.tell(&e)
	return e.Result, e.Err
}

func (g *Guard) judge(ctx context.Context, r Request, e *Event) (*detect.Result, error) {
	if err := g.check(r); err != nil {
		return nil, err
	}
	for _, w := range g.o.Watchers {
		if a, ok := w.(Admitter); ok {
			if err := a.Admit(g, r); err != nil {
				return nil, err
			}
		}
	}
	n, extra := r.N(), r.N()*g.extra(r)
	if r.Optional {
		if err := g.spare.take(g.now(), extra); err != nil {
			return nil, err
		}
	}
	if err := g.clients.take(g.now(), r.Client, n); err != nil {
		return nil, err
	}
	if g.o.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.o.Deadline)
		defer cancel()
	}
	j := &job{Request: r, ctx: ctx, came: e.Start, done: make(chan outcome, 1)}
	if err := g.queue.put(j); err != nil {
		return nil, err
	}
	select {
	case o := <-j.done:
		if !o.began.IsZero() {
			e.Queued, e.Batch, e.Extra = o.began.Sub(e.Start), o.rows, extra
		}
		return o.result, o.err
	case <-ctx.Done():
		g.queue.leave(j)
		return nil, ctx.Err()
	}
}

// extra is how many rows the guarded classifier is asked for on top of the user's
// own, for each row.
func (g *Guard) extra(r Request) int {
	n := g.d.Asked(r.Samples, r.Given != nil)
	if r.Given == nil && !r.Again {
		n-- // the row itself, for the user
	}
	return n
}

// check refuses what no batch may contain: it would fail with its neighbours.
func (g *Guard) check(r Request) error {
	if r.Rows == nil || r.Rows.X == nil || r.Rows.X.N() == 0 {
		return &InputError{Err: errors.New("there are no rows")}
	}
	x, want := r.Rows.X, g.d.InputShape()
	if !x.Example().Equal(want) {
		return &InputError{Input: "x", Err: fmt.Errorf("the rows have shape %v, want %v", x.Example(), want)}
	}
	for i, v := range x.Data {
		if v-v != 0 {
			return &InputError{Input: "x", Err: fmt.Errorf("row %d: number %d is %v", i/x.Stride(), i%x.Stride(), v)}
		}
	}
	if r.Samples < 0 || r.Samples > max(1, g.d.Samples()) {
		return &InputError{Input: "samples", Err: fmt.Errorf("%d, want 1 to %d", r.Samples, max(1, g.d.Samples()))}
	}
	p := r.Given
	if p == nil {
		return nil
	}
	if k := g.d.Info().NumClasses; len(p.Shape) != 2 || p.N() != x.N() || p.Stride() != k {
		return &InputError{Input: "p", Err: fmt.Errorf("its shape is %v, want %d×%d", p.Shape, x.N(), k)}
	}
	for i, v := range p.Data {
		if v-v != 0 {
			return &InputError{Input: "p", Err: fmt.Errorf("row %d: number %d is %v", i/p.Stride(), i%p.Stride(), v)}
		}
	}
	return nil
}

// run judges a batch, and gives each job its part. Where the rows of one may be to
// blame, each is judged by itself.
func (g *Guard) run(b *batch) {
	began := time.Now()
	ctx, end := g.spanBatch(b.ctx, b.jobs)
	r, err := g.detect(ctx, b.jobs)
	end(err)
	g.counts.batches.Add(1)
	g.counts.batchRows.Add(int64(b.rows))
	if err != nil && len(b.jobs) > 1 && b.ctx.Err() == nil && perhapsOfOne(err) {
		for _, j := range b.jobs {
			alone, leave := context.WithCancel(j.ctx)
			last := context.AfterFunc(b.ctx, leave) // also where the queue is closed
			ctx, end := g.spanBatch(alone, []*job{j})
			one, err := g.detect(ctx, []*job{j})
			end(err)
			last()
			leave()
			j.done <- outcome{one, g.translate(j, err), began, j.N()}
		}
		return
	}
	at := 0
	for _, j := range b.jobs {
		o := outcome{began: began, rows: b.rows, err: g.translate(j, err)}
		if err == nil {
			o.result = part(r, at, at+j.N())
		}
		at += j.N()
		j.done <- o
	}
}

// detect judges the rows of jobs together. A panic is an error of theirs.
func (g *Guard) detect(ctx context.Context, jobs []*job) (r *detect.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			g.o.Logger.Error("judging panicked", "model", g.o.Name, "panic", p)
			r, err = nil, sdk.Errorf(sdk.Internal, "judging panicked")
		}
	}()
	x, given := together(jobs)
	return g.d.DetectGiven(ctx, &dataset.Data{X: x}, given, detect.GivenOptions{Include: jobs[0].Include, Samples: jobs[0].Samples})
}

// perhapsOfOne reports whether a batch may have failed for the rows of one request.
func perhapsOfOne(err error) bool {
	var row *detect.RowError
	kind := sdk.KindOf(err)
	return errors.As(err, &row) || kind == sdk.InvalidArgument || kind == sdk.Internal || kind == sdk.ResourceExhausted
}

// overdue reports whether the time of ctx has passed but for what clocks and timers differ by.
func overdue(ctx context.Context) bool {
	const slack = 10 * time.Millisecond
	end, ok := ctx.Deadline()
	return ok && time.Until(end) < slack
}

// awayAfter is when a request that found the classifier away may come again.
const awayAfter = time.Second

// translate is an error of the detector as one of this package.
func (g *Guard) translate(j *job, err error) error {
	var row *detect.RowError
	switch kind := sdk.KindOf(err); {
	case err == nil:
		g.Back()
		return nil
	case j.ctx.Err() != nil:
		return j.ctx.Err()
	case (kind == sdk.Unavailable || kind == sdk.Internal || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) && overdue(j.ctx):
		return context.DeadlineExceeded // the call's clock was ahead of the caller's
	case errors.As(err, &row):
		return &InputError{Input: "x", Err: errors.New(row.Message)}
	case kind == sdk.InvalidArgument:
		return &InputError{Input: "x", Err: errors.New("the classifier refuses it")}
	case errors.Is(err, detect.ErrNoThreshold):
		return &UnavailableError{Reason: "the detector has no threshold", Err: err}
	case kind == sdk.Unavailable, kind == sdk.FailedPrecondition, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		if !g.away.Swap(true) {
			g.o.Logger.Warn("the classifier is away", "model", g.o.Name, "version", g.o.Version, "error", err)
		}
		return &UnavailableError{Reason: "the classifier is away", Err: err, After: awayAfter}
	}
	g.o.Logger.Error("judging failed", "model", g.o.Name, "error", err)
	return &FailedError{Err: err}
}

// Away reports whether the classifier was away when it was last asked.
func (g *Guard) Away() bool { return g.away.Load() }

// Back tells the guard that the classifier answers again.
func (g *Guard) Back() {
	if g.away.Swap(false) {
		g.o.Logger.Info("the classifier is back", "model", g.o.Name, "version", g.o.Version)
	}
}

// Close lets what waits be judged until ctx is done, and then fails it. Requests
// that come later are an *UnavailableError.
func (g *Guard) Close(ctx context.Context) { g.queue.close(ctx) }

// Counters are what has happened so far.
func (g *Guard) Counters() Counters {
	c := g.counts.snapshot()
	c.Waiting, c.Batching = g.queue.state()
	c.Restarts = g.d.Classifier.Restarts()
	if g.d.Replica != nil {
		c.Restarts += g.d.Replica.Restarts()
	}
	return c
}

// Counters are totals since a guard was started, but for Waiting and Batching,
// which are of now.
type Counters struct {
	Requests, Rows    int64 // judged
	Batches           int64
	BatchRows         int64
	Extra             int64 // rows that the guarded classifier was asked for on top of the users' own
	Shed              int64 // requests refused for want of time or room
	Limited           int64 // requests refused for their client's share
	Sampled, Budgeted int64 // optional requests left out, by the sample and by the budget
	Left              int64 // requests whose caller left, or whose time ran out
	Away              int64 // requests that found the classifier away
	Refused           int64 // requests that no server could answer
	Failed            int64 // requests with any other error
	Restarts          int   // of the classifier's process
	Waiting, Batching int   // rows
}

// counts are Counters under way.
type counts struct {
	requests, rows, batches, batchRows, extra atomic.Int64
	shed, limited, sampled, budgeted          atomic.Int64
	left, away, refused, failed               atomic.Int64
}

func (c *counts) add(e *Event) {
	var overloaded *OverloadedError
	var skipped *SkippedError
	var input *InputError
	var away *UnavailableError
	c.extra.Add(int64(e.Extra))
	switch err := e.Err; {
	case err == nil:
		c.requests.Add(1)
		c.rows.Add(int64(e.Request.N()))
	case errors.As(err, &overloaded):
		if overloaded.Client {
			c.limited.Add(1)
		} else {
			c.shed.Add(1)
		}
	case errors.As(err, &skipped):
		if skipped.Budget {
			c.budgeted.Add(1)
		} else {
			c.sampled.Add(1)
		}
	case errors.As(err, &input):
		c.refused.Add(1)
	case errors.As(err, &away):
		c.away.Add(1)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		c.left.Add(1)
	default:
		c.failed.Add(1)
	}
}

func (c *counts) snapshot() Counters {
	return Counters{
		Requests: c.requests.Load(), Rows: c.rows.Load(), Batches: c.batches.Load(), BatchRows: c.batchRows.Load(), Extra: c.extra.Load(),
		Shed: c.shed.Load(), Limited: c.limited.Load(), Sampled: c.sampled.Load(), Budgeted: c.budgeted.Load(),
		Left: c.left.Load(), Away: c.away.Load(), Refused: c.refused.Load(), Failed: c.failed.Load(),
	}
}
