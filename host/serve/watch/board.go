package watch

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options of NewBoard. The zero value of a field stands for its default.
type Options struct {
	// Alpha is the false-alarm probability at which a martingale raises the alarm, by a
	// line in the log and in the metrics. Default 0.001.
	Alpha float64
	// Notice is after how many near-duplicates a client is noticed. Default 5.
	Notice int
	// Refuse is after how many near-duplicates a client is refused, for RefuseFor: it then begins anew. 0: nobody is.
	Refuse    int
	RefuseFor time.Duration // default 10 minutes
	// Similar says how near-duplicates are found; the range is that of each model.
	Similar SimilarOptions
	Logger  hclog.Logger // nil: none
	// Told is told of each alarm, by whoever judged the row: it must not wait. nil: nobody is.
	Told func(Alarm)
}

// Board watches the requests of a server and keeps what metrics and the page show, version
// by version of each model. A new version starts its martingale anew, knows the clients of the one
// before it, and is what is shown from then on: what the one before it still answers is counted as its own.
type Board struct {
	o       Options
	metrics *metrics
	now     func() time.Time // of refusals
	rebuild func(context.Context, *host.Detector, *tensor.Tensor) (*tensor.Tensor, error)

	mu     sync.Mutex
	models map[string]*versions
	told   bool // of versions, by Opened: then there are no others
}

// versions are those of one model that answer.
type versions struct {
	shown *state // nil: none is in use
	all   map[versionKey]*state
}

// versionKey tells a version from others of its name. The digest is another one where a
// file lists a detector that was made anew.
type versionKey struct{ version, digest string }

var (
	_ judge.Watcher  = (*Board)(nil)
	_ judge.Opener   = (*Board)(nil)
	_ judge.Admitter = (*Board)(nil)
)

// NewBoard watches nothing yet: it is a judge.Watcher.
func NewBoard(o Options) *Board {
	if o.Alpha == 0 {
		o.Alpha = 1e-3
	}
	if o.Notice == 0 {
		o.Notice = 5
	}
	if o.RefuseFor == 0 {
		o.RefuseFor = 10 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	b := &Board{o: o, now: time.Now, models: make(map[string]*versions), rebuild: func(ctx context.Context, d *host.Detector, x *tensor.Tensor) (*tensor.Tensor, error) {
		return d.Reconstruct(ctx, x)
	}}
	b.metrics = newMetrics(b)
	return b
}

const (
	pBuckets   = 20   // of p-values
	keptRows   = 12   // flagged rows that the page shows
	keptTimes  = 2048 // latencies that quantiles are of
	maxNumbers = 4096 // of a flagged row that is kept
	keptPast   = 300  // martingale values, one a second at most, that the page draws
	shownNames = 5    // clients that the page names
)

// state is what is known of one version of a model.
type state struct {
	guards int // that are this version, of those that the board was told of; guarded by Board.mu

	mu         sync.Mutex
	name       string
	version    string
	digest     string
	promised   float64 // share of flagged rows; NaN: none is promised
	threshold  float64
	martingale *Martingale
	clients    *clients
	alarmed    bool

	rows, flagged, similarRows int64
	p                          [pBuckets]int64
	classes                    []int64 // rows by predicted class
	classFlagged               []int64
	names                      []string
	times                      []time.Duration // a ring
	next                       int
	past                       []float64  // the martingale, the newest last
	noted                      time.Time  // when its last was
	last                       []*Flagged // the newest first
	rebuilding                 bool       // one of them is being reconstructed
	rebuilt                    time.Time  // when that last ended
}

// state is that of a model's version. Of versions that the board was not told of, the one
// that was heard of last is shown.
func (b *Board) state(m judge.Model) *state {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.models[m.Name()]; v != nil {
		if s := v.all[keyOf(m)]; s != nil {
			return s
		}
	}
	if b.told {
		return b.newState(m, nil) // it was closed already, and this is its last word
	}
	return b.show(m)
}

func keyOf(m judge.Model) versionKey { return versionKey{m.Version(), m.Detector().Digest()} }

// show makes a version the one that is shown; mu is locked.
func (b *Board) show(m judge.Model) *state {
	v := b.models[m.Name()]
	if v == nil {
		v = &versions{all: map[versionKey]*state{}}
		b.models[m.Name()] = v
	}
	s := v.all[keyOf(m)]
	if s == nil {
		s = b.newState(m, v.shown)
		if !b.told {
			clear(v.all) // nobody says when a version ends
		}
		v.all[keyOf(m)] = s
	}
	if v.shown != s {
		v.shown = s
		b.metrics.name(s, m.Detector())
	}
	return s
}

// Opened implements judge.Opener.
func (b *Board) Opened(m judge.Model) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = true
	b.show(m).guards++
}

// Closed implements judge.Opener.
func (b *Board) Closed(m judge.Model) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.models[m.Name()]
	if v == nil {
		return
	}
	s := v.all[keyOf(m)]
	if s == nil {
		return
	}
	if s.guards--; s.guards > 0 {
		return // it was opened anew
	}
	delete(v.all, keyOf(m))
	if v.shown == s {
		v.shown = nil
		b.metrics.unname(s)
	}
	if len(v.all) == 0 {
		delete(b.models, m.Name())
	}
}

// newState is that of a version after another, nil if there is none.
func (b *Board) newState(m judge.Model, before *state) *state {
	d := m.Detector()
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.Digest()))
	t := d.Threshold()
	o := b.o.Similar
	lo, hi := rangeOf(d)
	o.Low, o.High = float64(lo), float64(hi)
	s := &state{
		name: m.Name(), version: m.Version(), digest: d.Digest(), promised: math.NaN(), threshold: t.Value,
		martingale: MartingaleOf(d.Detector, h.Sum64()), clients: clientsAfter(before, o, d.Info().InputShape),
		names: d.ClassNames(), classes: make([]int64, d.Info().NumClasses), classFlagged: make([]int64, d.Info().NumClasses),
	}
	if d.Statistics() == nil && d.State().Scores != nil {
		b.o.Logger.Warn("the detector was calibrated by an earlier version, which kept no statistic of votes that end early: until it is calibrated anew, the stream is compared with itself alone, and drift from before its start is not seen", "model", s.name, "version", s.version)
	}
	if t.Rule.FPR != nil {
		s.promised = *t.Rule.FPR
	}
	return s
}

// rangeOf is what the numbers of a row range over: the classifier's legal range, else
// that of data.train, else 0 to 1.
func rangeOf(d *host.Detector) (lo, hi float32) {
	if info := d.Info(); len(info.Lo) > 0 && len(info.Hi) > 0 {
		return info.Lo[0], info.Hi[0]
	}
	if r := d.Signature().Prepared; r != nil && r.High > r.Low {
		return r.Low, r.High
	}
	return 0, 1
}

// Judged implements judge.Watcher.
func (b *Board) Judged(e judge.Event) {
	s := b.state(e.Model)
	b.metrics.observe(s, e)
	if e.Result == nil {
		return
	}
	near, similar, seen := s.take(e)
	if seen != nil {
		go b.reconstruct(s, seen, e.Model.Detector())
	}
	b.metrics.similar.WithLabelValues(s.name).Add(float64(similar))
	b.alarm(s, e, near)
}

// Admit implements judge.Admitter: it refuses clients who have asked about nearly the same input too often.
func (b *Board) Admit(m judge.Model, r judge.Request) error {
	if b.o.Refuse == 0 || r.Client == "" {
		return nil
	}
	if left := b.state(m).clients.refused(r.Client, b.now()); left > 0 {
		return &judge.OverloadedError{Reason: "this client has asked about nearly the same input again and again", Client: true, After: left}
	}
	return nil
}

// take counts the rows of a request, and gives the sightings of its client, and of its flagged rows one that is to be
// reconstructed; nil: none is.
func (s *state) take(e judge.Event) (all Sightings, similar int, seen *Flagged) {
	r, x := e.Result, e.Request.Rows.X
	if e.Request.Client != "" {
		for i := range x.N() {
			var near bool
			if near, all = s.clients.See(e.Request.Client, x.Row(i)); near {
				similar++
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.similarRows += int64(similar)
	if e.Request.Samples == 0 { // fewer samples are another statistic
		s.martingale.Judged(r)
		s.note(e.Start)
	}
	for i := range x.N() {
		s.rows++
		s.classes[r.Predicted[i]]++
		if r.Adversarial[i] {
			s.flagged++
			s.classFlagged[r.Predicted[i]]++
			if f := s.keep(e, i); f != nil {
				seen = f
			}
		}
		if r.PValue != nil {
			s.p[min(pBuckets-1, int(r.PValue[i]*pBuckets))]++
		}
	}
	if len(s.times) < keptTimes {
		s.times = append(s.times, e.Took)
	} else {
		s.times[s.next] = e.Took
	}
	s.next = (s.next + 1) % keptTimes
	return all, similar, seen
}

// note remembers the martingale for the page.
func (s *state) note(now time.Time) {
	if now.Sub(s.noted) < interval {
		return
	}
	s.noted = now
	if len(s.past) == keptPast {
		s.past = append(s.past[:0], s.past[1:]...)
	}
	s.past = append(s.past, s.martingale.Log10())
}

// class names a class.
func (s *state) class(c int) string { return className(s.names, c) }

// Reset starts the martingale of a model anew, as after an alarm that was looked into.
// false: there is no such model.
func (b *Board) Reset(model string) bool {
	s := b.shown(model)
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.martingale.Reset()
	s.alarmed = false
	return true
}

// shown is the version of a model that is in use; nil: none is.
func (b *Board) shown(model string) *state {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.models[model]; v != nil {
		return v.shown
	}
	return nil
}

// sorted are the models that have a version in use, by name.
func (b *Board) sorted() []*state {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*state
	for _, name := range slices.Sorted(maps.Keys(b.models)) {
		if s := b.models[name].shown; s != nil {
			out = append(out, s)
		}
	}
	return out
}

// outcome is an error in one word, of few.
func outcome(err error) string {
	var over *judge.OverloadedError
	var away *judge.UnavailableError
	var input *judge.InputError
	var skipped *judge.SkippedError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &over):
		return "overloaded"
	case errors.As(err, &away):
		return "unavailable"
	case errors.As(err, &input):
		return "input"
	case errors.As(err, &skipped):
		return "skipped"
	case isContext(err):
		return "left"
	}
	return "failed"
}
