package judge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Source is who gave an answer, as far as the answer tells.
type Source struct {
	Server  string // its address or name, by configuration
	Output  string // the tensor
	Version string // of its model; "": it does not say
}

// Kinds judges by answers that others gave, model servers above all, once it knows that they are the detector's classifier's
// and of which kind: logits or probabilities.
//
// Numbers alone do not tell. So the rows of a source that is not known are asked of the detector's own classifier too, whose
// answer they are judged by, and the two answers are compared as distributions: with the given numbers as probabilities, and
// with their softmax. Once nearly all of enough rows agree under one reading, and the other reading is clearly off, that is
// the kind, and what is given from then on is used; of the other kind than the classifier's it is turned into it. Where they do
// not agree, what is given is another model's, and the detector's classifier is asked for as long as that stays so.
//
// A source that is known is compared again now and then, and where there is a reason to: a server that was away, or numbers
// that look like another kind's. It is safe for concurrent use.
type Kinds struct {
	o      KindsOptions
	now    func() time.Time
	counts struct{ given, converted, compared, foreign atomic.Int64 }

	mu    sync.Mutex
	known map[sourceKey]*kind // at most maxSources
}

// KindsOptions of NewKinds. The zero value of a field stands for its default.
type KindsOptions struct {
	Every  int           // requests of a source of which one is compared again; 0: 1,000
	After  time.Duration // since the last comparison, after which the next request is compared again; 0: 1 minute
	Logger hclog.Logger  // nil: none
}

// The comparison of rows.
const (
	// agrees is the total variation of two answers of one classifier at most: arithmetic of 16 bits stays below it.
	agrees = 0.02
	// differs is that of the other reading at least, for a row to tell the two apart: a uniform row is so in both.
	differs = 2 * agrees
	// enough rows that tell something settle a kind, unless more than 1 of strays of them disagree.
	enough = 32
	strays = 16
)

// maxSources bounds how many sources are kept apart. The one that was not heard of for longest is forgotten.
const maxSources = 64

// sourceKey is a source of answers for one version of a model of ours.
type sourceKey struct {
	Source
	name, version string
}

// verdictOn is what is known of a source.
type verdictOn int

const (
	unsettled verdictOn = iota // rows are compared
	settled                    // it is the classifier's, of a kind
	foreign                    // it is another model's, and is compared on
)

// kind is the state of a source, guarded by Kinds.mu.
type kind struct {
	is       verdictOn
	of       sdk.OutputKind // where settled
	seen     votes          // while unsettled or foreign
	told     bool           // that it is foreign
	due      bool           // the next request is compared
	requests int            // since the last comparison
	compared time.Time
	used     time.Time
}

// Opinion is a Result, and what was found about the answer that was given.
type Opinion struct {
	*detect.Result
	Kind sdk.OutputKind // of the given answer
	// Foreign says that the given answer is not the detector's classifier's: the rows were judged, and their classes
	// predicted, by the detector's classifier.
	Foreign bool
}

// NewKinds knows of no source yet.
func NewKinds(o KindsOptions) *Kinds {
	if o.Every <= 0 {
		o.Every = 1000
	}
	if o.After <= 0 {
		o.After = time.Minute
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Kinds{o: o, now: time.Now, known: map[sourceKey]*kind{}}
}

// Judge is m.Judge for a request whose Given comes from a source. Without Given it is m.Judge.
func (k *Kinds) Judge(ctx context.Context, m Model, r Request, from Source) (*Opinion, error) {
	info := m.Detector().Info()
	if r.Given == nil {
		v, err := m.Judge(ctx, r)
		return &Opinion{Result: v, Kind: info.Output}, err
	}
	key := sourceKey{from, m.Name(), m.Version()}
	compare, was := k.plan(key, r.Given)
	if !compare {
		return k.given(ctx, m, r, was.of)
	}
	own := r
	own.Given, own.Again, own.Include.Probabilities = nil, true, true
	v, err := m.Judge(ctx, own)
	if err != nil {
		var away *UnavailableError
		if was.is == settled && errors.As(err, &away) { // what was known serves until then
			return k.given(ctx, m, r, was.of)
		}
		k.again(key)
		return nil, err
	}
	seen := compareRows(v.Probabilities, r.Given)
	now := k.settle(key, seen)
	out := &Opinion{Result: v, Kind: kindOf(now, seen, r.Given), Foreign: now.is == foreign || seen.off > 0}
	k.counts.compared.Add(1)
	if out.Foreign {
		k.counts.foreign.Add(1)
	}
	if !r.Include.Probabilities {
		v.Probabilities = nil
	}
	return out, nil
}

// given judges by what was given, which is of a kind.
func (k *Kinds) given(ctx context.Context, m Model, r Request, of sdk.OutputKind) (*Opinion, error) {
	count := &k.counts.given
	if want := m.Detector().Info().Output; want != of {
		r.Given, count = convert(r.Given, want), &k.counts.converted
	}
	v, err := m.Judge(ctx, r)
	if err != nil {
		return nil, err
	}
	count.Add(1)
	return &Opinion{Result: v, Kind: of}, nil
}

// kindOf is the kind of an answer whose rows were just compared: as is known, as its rows say, or else as it looks.
func kindOf(now kind, seen votes, given *tensor.Tensor) sdk.OutputKind {
	if of, n := seen.most(); n > 0 {
		return of
	}
	switch {
	case now.is == settled:
		return now.of
	case looksLike(given, sdk.Probabilities):
		return sdk.Probabilities
	}
	return sdk.Logits
}

// plan decides whether an answer is compared, and gives what is known of its source.
func (k *Kinds) plan(key sourceKey, given *tensor.Tensor) (compare bool, _ kind) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	s := k.known[key]
	if s == nil {
		if len(k.known) >= maxSources {
			k.forget()
		}
		s = &kind{}
		k.known[key] = s
	}
	s.used = now
	s.requests++
	if s.is != settled {
		return true, *s
	}
	since := now.Sub(s.compared)
	if s.due || s.requests >= k.o.Every || since >= k.o.After || since < 0 || !looksLike(given, s.of) {
		s.due, s.requests, s.compared = false, 0, now // others need not, meanwhile
		return true, *s
	}
	return false, *s
}

// forget forgets the source that was not heard of for longest; k is locked.
func (k *Kinds) forget() {
	var oldest sourceKey
	var used time.Time
	for key, s := range k.known {
		if used.IsZero() || s.used.Before(used) {
			oldest, used = key, s.used
		}
	}
	delete(k.known, oldest)
}

// again lets the next answer of a source be compared.
func (k *Kinds) again(key sourceKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.known[key]; s != nil {
		s.due = true
	}
}

// Doubt lets the next answer of each source on a server be compared: it was away, and may be another one now.
func (k *Kinds) Doubt(server string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, s := range k.known {
		if key.Server == server {
			s.due = true
		}
	}
}

// settle takes note of a comparison, and gives what is known then.
func (k *Kinds) settle(key sourceKey, v votes) kind {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.known[key]
	if s == nil { // forgotten meanwhile
		return kind{}
	}
	before := *s
	s.take(v)
	s.compared = k.now()
	log := []any{"model", key.name, "server", key.Server, "output", quote(key.Output), "version", quote(key.Version)}
	switch {
	case s.is == settled && before.is == foreign:
		k.o.Logger.Info("a model server's answers are the detector's classifier's again", append(log, "kind", s.of)...)
	case s.is == settled && before.is == unsettled:
		k.o.Logger.Info("a model server's answers are the detector's classifier's", append(log, "kind", s.of)...)
	case s.is == unsettled && before.is == settled:
		k.o.Logger.Info("a model server's answer was not that of the detector's classifier: they are compared", log...)
	case s.is == foreign && !s.told:
		k.o.Logger.Error("a model server's answers are not those of the detector's classifier: its rows are judged by that one's own answers. "+
			"It may be another version of the model, have another order of classes, or an input that is prepared otherwise", log...)
	}
	s.told = s.is == foreign
	return *s
}

// take is what a comparison changes.
func (s *kind) take(v votes) {
	of, most := v.most()
	if s.is == settled {
		switch {
		case v.telling() == 0:
			s.due = true // the next one may tell
			return
		case v.telling() == most && of == s.of:
			return
		}
		s.is, s.seen = unsettled, votes{}
	}
	if s.seen = s.seen.and(v); s.seen.telling() < enough {
		return
	}
	all := s.seen.telling()
	if of, most = s.seen.most(); all-most <= all/strays {
		s.is, s.of = settled, of
	} else {
		s.is = foreign
	}
	s.seen, s.due, s.requests = votes{}, false, 0
}

// KindsCounters are totals since a Kinds was made, of requests with an answer that was given.
type KindsCounters struct {
	Given     int64 // judged by it, as it was
	Converted int64 // judged by it, turned into the kind of the detector's classifier
	Compared  int64 // judged by the detector's classifier's answer, with which it was compared
	Foreign   int64 // of those, where it was another model's
}

// Counters are what has happened so far.
func (k *Kinds) Counters() KindsCounters {
	return KindsCounters{k.counts.given.Load(), k.counts.converted.Load(), k.counts.compared.Load(), k.counts.foreign.Load()}
}
