package judge_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func components() host.Components { return servetest.Components(builtin.Components()) }

func TestMain(m *testing.M) {
	host.ServeIfPlugin(components())
	os.Exit(m.Run())
}

func trained(t *testing.T) servetest.Trained {
	t.Helper()
	return servetest.Train(t, components(), filepath.Join(t.TempDir(), "guard"), 0)
}

func rows(r *rand.Rand, n int) *dataset.Data {
	x := tensor.New(n, 64)
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	return &dataset.Data{X: x}
}

func start(t *testing.T, d *host.Detector, o judge.Options) *judge.Guard {
	t.Helper()
	g := judge.New(d, o)
	t.Cleanup(func() { g.Close(context.Background()) })
	return g
}

// seen keeps the events.
type seen struct {
	mu     sync.Mutex
	events []judge.Event
}

func (s *seen) Judged(e judge.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// Requests of many clients are judged together, and each has the bits of `detect`.
func TestBits(t *testing.T) {
	d := trained(t).Open(t)
	var watch seen
	g := start(t, d, judge.Options{Name: "small", Version: "3", MaxRows: 16, MaxDelay: 2 * time.Millisecond, Concurrency: 1, Watchers: []judge.Watcher{&watch}})
	const clients, each = 8, 12
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 1))
			for range each {
				in := rows(r, 1+r.IntN(5))
				if r.IntN(8) == 0 { // far away: the score is infinite
					in.X.Row(0)[0] = 3e38
				}
				req := judge.Request{Rows: in, Include: detect.Include{Probabilities: r.IntN(2) == 0, Scores: r.IntN(2) == 0, Reconstruction: r.IntN(4) == 0}}
				if r.IntN(2) == 0 {
					p, err := d.Classifier.Predict(t.Context(), in.X)
					if err != nil {
						t.Error(err)
						return
					}
					req.Given = p
				}
				got, err := g.Judge(t.Context(), req)
				if err != nil {
					t.Error(err)
					return
				}
				want, err := d.DetectRows(t.Context(), in, req.Include)
				if err != nil || !same(got, want) {
					t.Errorf("%+v, want %+v, %v", got, want, err)
				}
			}
		})
	}
	wg.Wait()
	c := g.Counters()
	if c.Requests != clients*each || c.BatchRows != c.Rows || c.Batches >= c.Requests || c.Waiting+c.Batching != 0 {
		t.Errorf("%+v", c)
	}
	if len(watch.events) != clients*each {
		t.Fatalf("%d events", len(watch.events))
	}
	for _, e := range watch.events {
		n, per := e.Request.N(), 2
		if e.Err != nil || e.Result == nil || e.Batch < n || e.Extra != per*n || e.Queued < 0 || e.Took < e.Queued || e.Model.Version() != "3" {
			t.Errorf("%+v", e)
		}
	}
}

// same compares results, NaN equal to itself.
func same(a, b *detect.Result) bool {
	for i, s := range a.Score {
		if math.Float64bits(s) != math.Float64bits(b.Score[i]) {
			return false
		}
	}
	x, y := reflect.ValueOf(*a), reflect.ValueOf(*b)
	for i := range x.NumField() {
		if f := x.Type().Field(i); f.IsExported() && !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return false
		}
	}
	return true
}

// A client that leaves frees its place, and a batch that nobody waits for is given up.
func TestLeaves(t *testing.T) {
	w := trained(t)
	g := start(t, w.Open(t), judge.Options{MaxRows: 1, Concurrency: 1, Queue: 2})
	w.Control(t, servetest.Hang)
	r := rand.New(rand.NewPCG(1, 1))
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 3)
	for k := range 3 { // one is asked about, then two fill the queue
		go func(in *dataset.Data) {
			_, err := g.Judge(ctx, judge.Request{Rows: in})
			left <- err
		}(rows(r, 1))
		await(t, func() bool { c := g.Counters(); return c.Batching == 1 && c.Waiting == k })
	}
	var full *judge.OverloadedError
	if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 1)}); !errors.As(err, &full) { // while nothing is answered
		t.Errorf("a full queue: %v", err)
	}
	leave()
	for range 3 {
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
	}
	await(t, func() bool { c := g.Counters(); return c.Waiting+c.Batching == 0 })
	w.Control(t, servetest.Works)
	if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 5)}); err != nil { // more than fit the queue, alone
		t.Error(err)
	}
	if c := g.Counters(); c.Left != 3 || c.Shed != 1 || c.Requests != 1 {
		t.Errorf("%+v", c)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
	}
}

// A request whose time would pass before its turn is refused at once, and accepted
// when there is room again.
func TestRefusesWhileThereIsTime(t *testing.T) {
	w := trained(t)
	g := start(t, w.Open(t), judge.Options{MaxRows: 1, Concurrency: 1, Queue: 100})
	w.Control(t, servetest.Slow(500*time.Millisecond))
	r := rand.New(rand.NewPCG(1, 1))
	if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 1)}); err != nil { // tells how long it takes
		t.Fatal(err)
	}
	w.Control(t, servetest.Hold)
	var wg sync.WaitGroup
	for range 20 {
		in := rows(r, 1)
		wg.Go(func() {
			if _, err := g.Judge(t.Context(), judge.Request{Rows: in}); err != nil {
				t.Error(err)
			}
		})
	}
	await(t, func() bool { return g.Counters().Waiting == 19 })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var refused *judge.OverloadedError
	if _, err := g.Judge(ctx, judge.Request{Rows: rows(r, 1)}); !errors.As(err, &refused) || refused.Client || refused.After < 5*time.Second {
		t.Errorf("%v", err)
	}
	w.Control(t, servetest.Works)
	wg.Wait()
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := g.Judge(ctx, judge.Request{Rows: rows(r, 1)}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A request's time ends in the plugin too, and the guard's own deadline is one.
func TestDeadline(t *testing.T) {
	w := trained(t)
	d := w.Open(t)
	g := start(t, d, judge.Options{Deadline: 50 * time.Millisecond})
	w.Control(t, servetest.Hang)
	r := rand.New(rand.NewPCG(1, 1))
	if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 1)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	await(t, func() bool { return g.Counters().Batching == 0 })
	w.Control(t, servetest.Works)
	if _, err := start(t, d, judge.Options{}).Judge(t.Context(), judge.Request{Rows: rows(r, 1)}); err != nil {
		t.Error(err)
	}
	if n := g.Detector().Classifier.Restarts(); n != 0 {
		t.Errorf("%d restarts", n)
	}
}

// Rows that the classifier refuses are the fault of their request alone.
func TestOneBadRequest(t *testing.T) {
	w := trained(t)
	g := start(t, w.Open(t), judge.Options{Concurrency: 1})
	w.Control(t, servetest.Hold) // so that the others wait together
	r := rand.New(rand.NewPCG(1, 1))
	first := make(chan error, 1)
	go func(in *dataset.Data) {
		_, err := g.Judge(t.Context(), judge.Request{Rows: in})
		first <- err
	}(rows(r, 1))
	await(t, func() bool { return g.Counters().Batching == 1 })
	bad := rows(r, 2)
	bad.X.Row(1)[0] = 2
	var wg sync.WaitGroup
	for _, in := range []*dataset.Data{rows(r, 1), bad, rows(r, 3)} {
		wg.Go(func() {
			_, err := g.Judge(t.Context(), judge.Request{Rows: in})
			var input *judge.InputError
			if (in == bad) != (err != nil) || in == bad && !errors.As(err, &input) {
				t.Errorf("%v", err)
			}
		})
	}
	await(t, func() bool { return g.Counters().Waiting == 6 })
	w.Control(t, servetest.Refuse)
	wg.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// A classifier that is away makes requests fail, with a reason that names no file,
// and comes back by itself.
func TestAway(t *testing.T) {
	w := trained(t)
	g := start(t, w.Open(t), judge.Options{})
	r := rand.New(rand.NewPCG(1, 1))
	var away *judge.UnavailableError
	for _, way := range []string{servetest.Away, servetest.Crash} {
		w.Control(t, way)
		_, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 1)})
		if !errors.As(err, &away) || err.Error() != "the classifier is away" || away.Unwrap() == nil || strings.Contains(err.Error(), "/") {
			t.Errorf("%s: %v", way, err)
		}
		w.Control(t, servetest.Works)
		await(t, func() bool {
			_, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 1)})
			return err == nil
		})
	}
	if c := g.Counters(); c.Restarts < 1 || c.Away < 2 {
		t.Errorf("%+v", c)
	}
}

// What no server could answer is refused before it meets others.
func TestInput(t *testing.T) {
	g := start(t, trained(t).Open(t), judge.Options{})
	r := rand.New(rand.NewPCG(1, 1))
	nan, inf := rows(r, 2), tensor.New(2, 10)
	nan.X.Row(1)[5] = float32(math.NaN())
	inf.Data[3] = float32(math.Inf(1))
	for _, c := range []struct {
		name, want string
		r          judge.Request
	}{
		{"no rows", "there are no rows", judge.Request{Rows: &dataset.Data{X: tensor.New(0, 64)}}},
		{"shape", `input "x": the rows have shape 63, want 64`, judge.Request{Rows: &dataset.Data{X: tensor.New(1, 63)}}},
		{"NaN", `input "x": row 1: number 5 is NaN`, judge.Request{Rows: nan}},
		{"p", `input "p": its shape is 1×10, want 2×10`, judge.Request{Rows: rows(r, 2), Given: tensor.New(1, 10)}},
		{"p infinite", `input "p": row 0: number 3 is +Inf`, judge.Request{Rows: rows(r, 2), Given: inf}},
		{"samples", `input "samples": 3, want 1 to 2`, judge.Request{Rows: rows(r, 2), Samples: 3}},
	} {
		var input *judge.InputError
		if _, err := g.Judge(t.Context(), c.r); !errors.As(err, &input) || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// Clocks jump: a client is neither shut out until the hour that it was comes again, nor given more than its share for one that was
// left out, and a budget neither.
func TestClockJumps(t *testing.T) {
	d := trained(t).Open(t)
	r := rand.New(rand.NewPCG(1, 1))
	now := time.Now().Round(0) // of the wall
	g := start(t, d, judge.Options{ClientRows: 4, ExtraRows: 8})
	g.Clock(func() time.Time { return now })
	var over *judge.OverloadedError
	var skipped *judge.SkippedError
	for _, jump := range []time.Duration{0, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		now = now.Add(jump)
		if jump < 0 { // what was used up stays so, for a second
			if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 4), Client: "a"}); !errors.As(err, &over) || over.After > time.Second {
				t.Errorf("%v: %v", jump, err)
			}
			if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 4), Client: "b", Optional: true}); !errors.As(err, &skipped) {
				t.Errorf("%v: %v", jump, err)
			}
			now = now.Add(time.Second)
		}
		if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 4), Client: "a", Optional: true}); err != nil {
			t.Errorf("%v: %v", jump, err)
		}
		if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 4), Client: "a"}); !errors.As(err, &over) || over.After > time.Second {
			t.Errorf("%v: more than a share: %v", jump, err)
		}
		if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 4), Client: "b", Optional: true}); !errors.As(err, &skipped) {
			t.Errorf("%v: more than the budget: %v", jump, err)
		}
	}
}

// A client has a share, and optional requests a sample and a budget.
func TestLimits(t *testing.T) {
	d := trained(t).Open(t)
	r := rand.New(rand.NewPCG(1, 1))
	now := time.Now()
	clock := func() time.Time { return now }
	g := start(t, d, judge.Options{ClientRows: 4})
	g.Clock(clock)
	ask := func(client string, n int) error {
		_, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, n), Client: client})
		return err
	}
	var over *judge.OverloadedError
	if err := ask("a", 4); err != nil {
		t.Error(err)
	}
	if err := ask("a", 4); !errors.As(err, &over) || !over.Client || over.After != time.Second {
		t.Errorf("a second time: %v", err)
	}
	if err := ask("b", 4); err != nil {
		t.Errorf("another client: %v", err)
	}
	now = now.Add(over.After)
	if err := ask("a", 4); err != nil {
		t.Errorf("when it was told to come again: %v", err)
	}
	if err := ask("c", 5); !errors.As(err, &over) || !strings.Contains(err.Error(), "more than a client may ask for") {
		t.Errorf("more than a share: %v", err)
	}
	if c := g.Counters(); c.Limited != 2 || c.Shed != 0 {
		t.Errorf("%+v", c)
	}

	optional := func(g *judge.Guard) (judged int) {
		for range 40 {
			_, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 1), Optional: true})
			var skipped *judge.SkippedError
			if err == nil {
				judged++
			} else if !errors.As(err, &skipped) {
				t.Error(err)
			}
		}
		return judged
	}
	g = start(t, d, judge.Options{Skip: 1})
	if n, c := optional(g), g.Counters(); n != 0 || c.Sampled != 40 {
		t.Errorf("nothing of a sample: %d judged, %+v", n, c)
	}
	g = start(t, d, judge.Options{Skip: 0.5})
	if n := optional(g); n < 5 || n > 35 { // 20 ± 5 standard deviations of √10
		t.Errorf("half of 40: %d", n)
	}
	g = start(t, d, judge.Options{ExtraRows: 10}) // 2 for each row
	g.Clock(clock)
	for second := range 2 {
		if n, c := optional(g), g.Counters(); n != 5 || c.Budgeted != int64(35*(second+1)) || c.Extra != int64(10*(second+1)) {
			t.Errorf("a budget of 10 extra rows a second: %d judged, %+v", n, c)
		}
		now = now.Add(time.Second)
	}
	if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 50)}); err != nil {
		t.Errorf("who waits for the verdict is not bound by it: %v", err)
	}
}

// Close lets what waits be judged, or fails it when its time has passed.
func TestClose(t *testing.T) {
	w := trained(t)
	d := w.Open(t)
	for _, patient := range []bool{true, false} {
		g := judge.New(d, judge.Options{MaxRows: 1, Concurrency: 1})
		way := servetest.Hold
		if !patient {
			way = servetest.Hang
		}
		w.Control(t, way)
		r := rand.New(rand.NewPCG(1, 1))
		errs := make(chan error, 3)
		for range 3 {
			go func(in *dataset.Data) {
				_, err := g.Judge(t.Context(), judge.Request{Rows: in})
				errs <- err
			}(rows(r, 1))
		}
		await(t, func() bool { c := g.Counters(); return c.Waiting == 2 && c.Batching == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if !patient {
			cancel()
		}
		ended := make(chan struct{})
		go func() {
			g.Close(ctx)
			close(ended)
		}()
		gone, leave := context.WithCancel(t.Context())
		leave()
		var away *judge.UnavailableError
		await(t, func() bool { // it closes
			_, err := g.Judge(gone, judge.Request{Rows: rows(r, 1)})
			return errors.As(err, &away)
		})
		w.Control(t, servetest.Works)
		<-ended
		cancel()
		for range 3 {
			if err := <-errs; patient && err != nil || !patient && !errors.As(err, &away) {
				t.Errorf("patient %t: %v", patient, err)
			}
		}
		if _, err := g.Judge(t.Context(), judge.Request{Rows: rows(r, 1)}); !errors.As(err, &away) {
			t.Errorf("closed: %v", err)
		}
	}
}
