// Package gradient gives gradients to classifiers that have none. A Source
// stands before a classifier: its predictions are the classifier's own, its
// gradients those of a surrogate (a small network distilled from the
// predictions), central differences, or NES, an estimate from random
// directions.
package gradient

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Kind says where gradients come from: the spec's classifier.gradient.
type Kind string

// The kinds. Auto takes the first that works: exact, surrogate, central
// differences for up to MaxDifferences features, NES where enough of its
// direction would be right.
const (
	Auto       Kind = "auto"
	Exact      Kind = "exact"
	Surrogate  Kind = "surrogate"
	Difference Kind = "finite_difference"
	NES        Kind = "nes"
)

// MaxDifferences is the number of features up to which Auto takes central
// differences: each row's gradient costs twice as many queries.
const MaxDifferences = 128

// MinCosine is the least expected cosine, √(n/(n+D)) for n pairs and D
// features, for which Auto takes NES.
const MinCosine = 0.3

// Options of a Source: the section, and what it works on. Rows are in the
// classifier's shape and units.
type Options struct {
	Section
	// Layers are those of a surrogate whose section names none, for examples of
	// a shape.
	Layers func(in tensor.Shape, classes int) []nn.Maker

	Train      dataset.Examples // required; gone over twice, and some are kept in memory
	Validation *tensor.Tensor   // held-out rows; nil: some of Train are held out
	Seed       uint64           // same seed, same bits, for any number of threads
	Threads    int              // of the arithmetic; 0: GOMAXPROCS
	Events     func(Event)      // receives what is done; nil: none
}

// Event is one report of a Source.
type Event struct {
	Stage       Stage
	Done, Total int    // rows asked or steps made, while under way
	Epoch       int    // of the detector's training, from 1, for StageRefit
	Message     string // what was decided and why, or ""
	Warning     bool   // the message is one that the user should act on
	// Fidelity on what was not seen in fitting: held-out rows; before a
	// refit, the reconstructions of the epoch.
	Fidelity *Fidelity
	Rebuilt  *Fidelity
	Queries  Queries
}

// Stage says what an Event tells of.
type Stage string

// The stages.
const (
	StageAsk    Stage = "surrogate queries" // rows are sent to the classifier
	StageFit    Stage = "surrogate"         // the surrogate learns
	StageRefit  Stage = "refit"             // it learnt from an epoch's reconstructions
	StageChosen Stage = "gradient"          // where gradients come from is settled, or one way was not taken
)

// Fidelity is how well a surrogate agrees with the classifier.
type Fidelity struct {
	Agreement float64 `json:"agreement"` // share of rows with the same top class
	KL        float64 `json:"kl"`        // mean of KL(classifier ‖ surrogate), nats
	N         int     `json:"n"`         // rows
	// Balanced is the mean of the agreement over the classes that the
	// classifier predicts, Majority the share of the most frequent of them,
	// which a constant would agree on. 0: not measured, by an earlier version.
	Balanced float64 `json:"balanced,omitempty"`
	Majority float64 `json:"majority,omitempty"`
}

// Queries counts rows sent to the classifier.
type Queries struct {
	// Predictions are those that training needs in any case: each row once,
	// and the reconstructions of each step.
	Predictions int64 `json:"predictions"`
	// Gradients are those that were sent for the gradient alone.
	Gradients int64 `json:"gradients"`
	// Health are those that the health of the trained guard asked for: rows of
	// data.validation, and rows as files have them. They come after training: neither Total
	// nor classifier.surrogate.max_queries has them.
	Health int64 `json:"health"`
}

// Total is what training took.
func (q Queries) Total() int64 { return q.Predictions + q.Gradients }

// Report says where gradients come from, how good they are and what they
// cost.
type Report struct {
	Kind Kind `json:"kind"`
	// PassedOver says why the kinds before this one were not taken.
	PassedOver []string `json:"passed_over,omitempty"`
	// HeldOut and Noisy are the surrogate's fidelity on held-out rows and on
	// the same with noise, Rebuilt that on the last epoch's reconstructions
	// before it was refitted on them.
	HeldOut *Fidelity `json:"held_out,omitempty"`
	Noisy   *Fidelity `json:"noisy,omitempty"`
	Rebuilt *Fidelity `json:"rebuilt,omitempty"`
	Refits  int       `json:"refits,omitempty"`
	Step    float64   `json:"step,omitempty"`  // of differences and NES, in shares of a feature's range
	Pairs   int       `json:"pairs,omitempty"` // of NES
	Cosine  float64   `json:"cosine,omitempty"`
	Queries Queries   `json:"queries"` // of training and of the guard's health, not of calibration
}

// Source is a classifier with gradients of another origin. Its methods may be
// called concurrently; Prepare, Epoch, Restore and Freeze belong to training
// and may not.
type Source struct {
	c    sdk.Classifier
	info sdk.Info
	o    Options
	k    *kernel.Engine
	f    *frame

	frozen atomic.Bool

	mu      sync.Mutex // guards all below, and the engine
	report  Report     // Kind is "" until Prepare has settled it
	floor   float64    // of probabilities in logarithms of differences
	sur     *surrogate // nil: none
	base    *base      // what it learns from, while it does
	noise   []float32
	recent  []int // scratch
	memo    memo
	ring    ring
	pending []answer // of the step under way
	probe   probe
}

var _ sdk.Forwarder = (*Source)(nil)

// Needed reports whether a classifier needs a Source to have the gradients
// that the spec asks for.
func Needed(k Kind, info sdk.Info) bool {
	return (k != Auto && k != Exact && k != "") || info.Gradient == sdk.NoGradient
}

// New makes a Source. Nothing is asked or fitted before Prepare. The caller
// keeps c and closes it after the Source.
func New(ctx context.Context, c sdk.Classifier, o Options) (*Source, error) {
	if o.Train == nil || o.Train.N() == 0 {
		return nil, fmt.Errorf("classifier.gradient: %s needs rows of data.train", cmp.Or(o.Kind, Auto))
	}
	s, err := newSource(ctx, c, o)
	if err != nil {
		return nil, err
	}
	if !o.Train.Example().Equal(s.info.InputShape) {
		return nil, fmt.Errorf("training rows are %v, the classifier takes %v", o.Train.Example(), s.info.InputShape)
	}
	if s.f, err = newFrame(s.info, o.Train); err != nil {
		s.k.Close()
		return nil, fmt.Errorf("data.train: %w", err)
	}
	return s, nil
}

func newSource(ctx context.Context, c sdk.Classifier, o Options) (*Source, error) {
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	o.complete(info)
	s := &Source{c: c, info: info, o: o, floor: oracle.Floor}
	s.k, err = kernel.New(kernel.Options{Threads: o.Threads})
	return s, err
}

// Close ends the source's threads, once all calls have returned.
func (s *Source) Close() error {
	s.k.Close()
	return nil
}

// Report describes the gradients so far. Kind is "" before Prepare.
func (s *Source) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	r.PassedOver = slices.Clone(r.PassedOver)
	return r
}

// Info is the classifier's, with the gradient that the Source gives and
// without hidden layers, through which it gives none.
func (s *Source) Info(ctx context.Context) (sdk.Info, error) {
	info, err := s.c.Info(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	info.Gradient = sdk.NoGradient
	if s.report.Kind != "" {
		info.Gradient, info.Hidden = sdk.EstimatedGradient, nil
	}
	return info, err
}

// Predict is the classifier's own. During training, answers that are known are
// not asked for again.
func (s *Source) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if s.frozen.Load() {
		return s.c.Predict(ctx, x)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if y := s.memo.recall(x); y != nil {
		return y, nil
	}
	return s.ask(ctx, x, &s.report.Queries.Predictions)
}

// Forward gives the classifier's own predictions and the source's gradients.
// The Pullback is nil before Prepare.
func (s *Source) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	for _, name := range outputs {
		if name != sdk.Output {
			return nil, nil, sdk.Errorf(sdk.InvalidArgument, "output %q has no gradient: hidden layers need a classifier with exact ones", name)
		}
	}
	out, err := s.forward(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	outs := map[string]*tensor.Tensor{sdk.Output: out}
	x, y := x.Clone(), out.Clone() // the caller may change its own before it pulls
	if !s.see(x, y) {
		return outs, nil, nil
	}
	return outs, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dy := cots[sdk.Output]
		if dy == nil || len(dy.Data) != len(y.Data) {
			return nil, sdk.Errorf(sdk.InvalidArgument, "the cotangent of the output is missing or not %v", y.Shape)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.pull(ctx, x, y, dy)
	}, nil
}

// forward asks for what may not be known.
func (s *Source) forward(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if s.frozen.Load() {
		return s.c.Predict(ctx, x)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ask(ctx, x, &s.report.Queries.Predictions)
}

// see keeps what the surrogate may learn from, until Step. It reports whether
// there are gradients.
func (s *Source) see(x, y *tensor.Tensor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sur != nil && s.o.Surrogate.RefitEvery > 0 && !s.frozen.Load() {
		s.pending = append(s.pending, answer{x, y})
	}
	return s.report.Kind != ""
}

// Step implements train.Companion.
func (s *Source) Step() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.pending {
		s.ring.put(a.x, a.y)
		s.follow(a)
	}
	clear(s.pending)
	s.pending = s.pending[:0]
}

// Forget implements train.Forgetful.
func (s *Source) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.pending)
	s.pending = s.pending[:0]
}

// answer is a batch that was asked about.
type answer struct{ x, y *tensor.Tensor }

// pull maps a cotangent of the answer y at x to the gradient at x.
func (s *Source) pull(ctx context.Context, x, y, dy *tensor.Tensor) (*tensor.Tensor, error) {
	switch s.report.Kind {
	case Surrogate:
		return s.sur.pull(s.f, x, y, dy, s.info.Output), nil
	case Difference:
		return s.differences(ctx, x, y, dy)
	}
	return s.nes(ctx, x, y, dy)
}

// BudgetError is a query that the budget does not allow. It was not sent.
type BudgetError struct {
	Spent, Wanted, Max int64 // rows
}

// Error names the figures and what to change.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("classifier.surrogate.max_queries is %d: %d rows were sent to the classifier, and the next call has %d: raise it, or train with fewer epochs or rows", e.Max, e.Spent, e.Wanted)
}

// ask sends rows to the classifier and counts them.
func (s *Source) ask(ctx context.Context, x *tensor.Tensor, count *int64) (*tensor.Tensor, error) {
	n := int64(x.N())
	if spent, most := s.report.Queries.Total(), int64(s.o.Surrogate.MaxQueries); !s.frozen.Load() && most > 0 && spent+n > most {
		return nil, &BudgetError{Spent: spent, Wanted: n, Max: most}
	}
	y, err := s.c.Predict(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := oracle.Check(y, x.N(), s.info.NumClasses); err != nil {
		return nil, sdk.Errorf(sdk.Internal, "classifier: %v", err)
	}
	if !s.frozen.Load() {
		*count += n
	}
	return y, nil
}

// Judged takes note that the health of the trained guard asked the classifier about n
// rows, past the source.
func (s *Source) Judged(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Queries.Health = n
}

// Freeze ends training: nothing more is counted, kept or learnt.
func (s *Source) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen.Store(true)
	s.memo, s.ring, s.base, s.pending = memo{}, ring{}, nil, nil
	s.o.Train, s.o.Validation, s.o.Events = nil, nil, nil
	if s.sur != nil {
		s.sur.rest()
	}
}

func (s *Source) tell(e Event) {
	if s.o.Events != nil {
		e.Queries = s.report.Queries
		s.o.Events(e)
	}
}
