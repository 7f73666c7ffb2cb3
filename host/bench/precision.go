package bench

import (
	"cmp"
	"errors"
	"time"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Precision compares what the spec asks for with float32, in turns, without the
// classifier.
type Precision struct {
	Training string   `json:"training"`
	Scoring  string   `json:"scoring"`
	Native   bool     `json:"native"`     // the machine has instructions for bf16
	Train    *Against `json:"train_step"` // nil: training is in float32
	Score    *Against `json:"score"`      // of Rows rows, encoded and decoded; nil: scoring is in float32
	Rows     int      `json:"score_rows"`
}

// Against compares the same work in both precisions: milliseconds by the clock,
// medians.
type Against struct {
	Float32 float64 `json:"float32_ms"`
	BF16    float64 `json:"bf16_ms"`
	Ratio   float64 `json:"ratio"` // median of those of neighbouring measurements
}

// precisionRows is how many rows are scored to compare precisions.
const precisionRows = 64

// precision measures what the spec's precisions gain.
func (b *bench) precision() error {
	p := &Precision{Training: string(cmp.Or(b.o.Train.Precision, kernel.Float32)), Scoring: string(cmp.Or(b.o.Detect.Precision, kernel.Float32)), Rows: precisionRows}
	if p.Training == p.Scoring && p.Training == string(kernel.Float32) {
		return nil
	}
	b.r.Precision = p
	k, err := kernel.New(kernel.Options{Threads: 1, Precision: kernel.BF16})
	if err != nil {
		return err
	}
	p.Native = k.Native()
	k.Close()
	if b.o.Train.Precision == kernel.BF16 {
		if p.Train, err = b.precisionOfSteps(); err != nil {
			return err
		}
	}
	if b.o.Detect.Precision == kernel.BF16 && b.o.Voting == nil {
		p.Score, err = b.precisionOfScores()
	}
	return err
}

// both are the precisions, in the order of against.
var both = [2]kernel.Precision{kernel.Float32, kernel.BF16}

// against measures two kinds of work in turns.
func (b *bench) against(work [2]func() (time.Duration, error)) (*Against, error) {
	var times [2][]float64
	var ratios []float64
	err := b.rounds(func() error {
		for i, f := range work {
			d, err := f()
			if err != nil {
				return err
			}
			times[i] = append(times[i], ms(d))
		}
		last := len(times[0]) - 1
		ratios = append(ratios, times[1][last]/times[0][last])
		return nil
	})
	return &Against{Float32: median(times[0]), BF16: median(times[1]), Ratio: median(ratios)}, err
}

func (b *bench) precisionOfSteps() (a *Against, err error) {
	var work [2]func() (time.Duration, error)
	for i, p := range both {
		c := *b
		c.o.Train.Precision = p
		v, e := c.start(nil, true)
		if e != nil {
			return nil, errors.Join(err, e)
		}
		defer func() { err = errors.Join(err, v.end()) }()
		work[i] = func() (time.Duration, error) { return v.s.steps(v.n) }
	}
	return b.against(work)
}

func (b *bench) precisionOfScores() (*Against, error) {
	samples := 1
	if b.o.Noise != nil {
		samples = b.o.Noise.N()
	}
	x := random(9, append([]int{precisionRows}, b.m.Input...)...)
	out := tensor.Batch(precisionRows*samples, b.m.Input)
	var work [2]func() (time.Duration, error)
	for i, p := range both {
		k, err := kernel.New(kernel.Options{Threads: b.o.Threads, Precision: p})
		if err != nil {
			return nil, err
		}
		defer k.Close()
		pass := b.opinion(samples).NewPass(k)
		f := func() { pass.Forward(&detect.Second{Rebuilt: out}, x, b.o.Noise) }
		clock(2, f)
		n := repeats(clock(2, f), 10*time.Millisecond)
		work[i] = func() (time.Duration, error) { return clock(n, f), nil }
	}
	return b.against(work)
}
