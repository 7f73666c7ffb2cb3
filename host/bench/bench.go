// Package bench measures what a spec's network costs on this machine: the peak
// of the processor, the matrix products of the layers against it, each layer,
// whole training steps and scoring, and what the plugin's process boundary
// adds. All data is synthetic. Whatever is compared is measured in turns, and
// every figure is a median, so that a drifting machine changes ratios little.
package bench

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options of Run.
type Options struct {
	// Threads of the arithmetic, and of a classifier in this process; 0:
	// GOMAXPROCS. Run sets GOMAXPROCS to it while it works.
	Threads int
	// Model makes the auto-encoder afresh. Required.
	Model func() (*vae.Model, error)
	// Train is the training: loss, optimiser, batch size, seed. Engine, Model,
	// Classifier, Train (the rows), Epochs and Events are filled in.
	Train train.Options
	// Fit trains a model of its own by options that Run has completed, as the detector's method
	// does it; nil: train.Run trains one of Model.
	Fit func(ctx context.Context, t train.Options) error
	// Heads are those on the classifier's hidden layers; nil: there are none. A stand-in for the
	// classifier has none either.
	Heads func(info sdk.Info) ([]oracle.Head, error)
	// Detect says how a detector scores; Classifier and Opinion are filled in.
	// Without a classifier scoring is encoding and decoding codes, one per row
	// of Noise, (S, latent), or one without noise where that is nil.
	Detect detect.Options
	Noise  *tensor.Tensor
	// Voting is the opinion of a method that votes, asked in the place of Model's; nil: it
	// does not.
	Voting  detect.Smoothing
	Classes int // of the stand-in where there is no classifier; 0: 10
	// Local makes the classifier in this process, Remote as a subprocess; the
	// same model. Nil where there is none.
	Local, Remote Starter
	// StepsOnly leaves out the products and the layers one by one.
	StepsOnly bool
	// Budget is about how long each part of the measurement takes; 0: 2 s.
	Budget time.Duration
	// Progress receives the name of each measurement before it starts; nil: none.
	Progress func(part string)
}

// Starter makes a classifier that Run ends by calling stop.
type Starter func(ctx context.Context) (c sdk.Classifier, stop func() error, err error)

// Result is what Run measured. Times are milliseconds, medians; a share is that
// of the threads' fused multiply-add peak in float32, which bf16 may exceed.
type Result struct {
	FMAPeak   float64          `json:"fma_peak_gflops"`   // of one thread, the best of each eight runs: what shares are of
	FMAMedian float64          `json:"fma_median_gflops"` // their median: on a busy machine much less
	Threads   int              `json:"threads"`
	Level     string           `json:"level"`
	Precision *Precision       `json:"precision"` // nil: the spec says float32 throughout
	Gemm      []Product        `json:"gemm"`
	Layers    []Layer          `json:"layers"`
	Train     Step             `json:"train_step"`
	Score     map[string]Score `json:"score"` // by batch
	Parts     Parts            `json:"parts"`
	Allocs    float64          `json:"allocs_per_step"` // in the engine, whatever a classifier allocates
	Boundary  *Boundary        `json:"boundary"`        // nil without a classifier that can run on both sides
	Asked     *Asked           `json:"classifier_rows"` // nil without a classifier
	Overlap   *Overlap         `json:"overlap"`         // nil without a classifier
	Verdict   string           `json:"verdict"`         // a line on what would help most

	hardened bool // the training is
}

// Step is a whole training step: batch, both passes, loss, classifier, optimiser.
type Step struct {
	Batch  int     `json:"batch"`
	MS     float64 `json:"ms"`
	Best   float64 `json:"best_ms"` // of all turns: what a busy machine disturbs least
	CPU    float64 `json:"cpu_ms"`  // processor time of this process, all threads; 0 where unknown
	Images float64 `json:"images_per_s"`
	// Share is the auto-encoder's arithmetic over the time outside the
	// classifier, in a step whose sides take turns.
	Share  float64 `json:"share"`
	MFLOP  float64 `json:"mflop_per_image"` // of the auto-encoder, both passes
	Params int     `json:"params"`          // of the auto-encoder
}

// Score is the scoring of one batch.
type Score struct {
	MS     float64 `json:"ms"`
	Best   float64 `json:"best_ms"` // of all turns
	CPU    float64 `json:"cpu_ms"`  // processor time of this process
	Images float64 `json:"images_per_s"`
}

// Parts are the parts of a training step whose sides take turns.
type Parts struct {
	VAE       float64 `json:"vae_ms"`       // all that is in no other part: passes, loss, batch
	Plugin    float64 `json:"plugin_ms"`    // calls of the classifier, in this process where it can be
	Transport float64 `json:"transport_ms"` // extra time of the same calls as a subprocess
	Optimizer float64 `json:"optimizer_ms"`
}

// Boundary compares whole training steps.
type Boundary struct {
	Subprocess float64 `json:"subprocess_ms"`
	InProcess  float64 `json:"in_process_ms"`
	Ratio      float64 `json:"ratio"` // median of the ratios of neighbouring steps
}

// Asked counts the rows that the classifier sees, next to those that it would
// see if its answers on clean rows were not kept (as in AdversarialVAE): in training once
// more for each row and epoch, in scoring twice for each sample.
type Asked struct {
	Training          float64 `json:"training_per_example_and_epoch"`
	TrainingReference float64 `json:"training_reference"`
	Scoring           float64 `json:"scoring_per_instance"`
	ScoringReference  float64 `json:"scoring_reference"`
}

// Run measures. It takes a few times the Budget, and returns early with the
// context's error if that ends.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Model == nil {
		return nil, errors.New("bench: no model")
	}
	if o.Budget <= 0 {
		o.Budget = 2 * time.Second
	}
	if o.Threads > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(o.Threads))
	}
	k, err := kernel.New(kernel.Options{Threads: o.Threads, Precision: o.Train.Precision})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	m, err := o.Model()
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, o: o, k: k, m: m}
	b.r.Threads, b.r.Level = k.Threads(), k.Level().String()
	for _, part := range []struct {
		name   string
		detail bool
		run    func() error
	}{
		{"matrix products", true, b.products}, {"layers", true, b.layers}, {"precision", false, b.precision}, {"training and scoring", false, b.whole},
	} {
		if o.StepsOnly && part.detail {
			continue
		}
		if o.Progress != nil {
			o.Progress(part.name)
		}
		if err := part.run(); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	b.r.FMAPeak, b.r.FMAMedian = median(b.peaks)/1e9, median(b.usual)/1e9
	return &b.r, nil
}

// bench is a measurement under way.
type bench struct {
	ctx   context.Context
	o     Options
	k     *kernel.Engine
	m     *vae.Model
	r     Result
	peaks []float64 // of one thread, FLOP/s: the best of some runs
	usual []float64 // and their median
}

// peak measures the peak once more and returns it, FLOP/s of one thread.
func (b *bench) peak() float64 {
	best, usual := kernel.FMAPeaks(b.k.Level())
	b.peaks, b.usual = append(b.peaks, best), append(b.usual, usual)
	return best
}

// Rounds of a measurement: at least few, then until the budget or enough.
const (
	minRounds = 5
	maxRounds = 40
)

// rounds calls f until the budget is spent.
func (b *bench) rounds(f func() error) error {
	for i, start := 0, time.Now(); i < maxRounds && (i < minRounds || time.Since(start) < b.o.Budget); i++ {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
