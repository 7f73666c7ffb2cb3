package train

import (
	"fmt"
	"time"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
)

// Estimate is what a training would cost, by counting.
type Estimate struct {
	Steps        int           `json:"steps_per_epoch"`
	GFLOPPerStep float64       `json:"gflop_per_step"`
	Time         time.Duration `json:"time_ns"`
	MemoryMiB    int           `json:"memory_mib"`         // at the peak, of the host's process alone: not the classifier's
	Streamed     bool          `json:"streamed,omitempty"` // the rows stay in their file: each epoch reads it
}

// assumedGFLOPS is the arithmetic rate of Estimate.Time: a cautious one for
// two current cores. `vaeguard bench` measures the machine's own.
const assumedGFLOPS = 150

// assumedStep is what a step costs besides: the calls of the classifier above
// all.
const assumedStep = time.Millisecond

// The memory of the host's process besides what a training counts, in bytes: the
// program, its runtime, and what verbs do before and after. It and the factors below
// are fitted to peaks of resident memory that host/kernel/PERFORMANCE.md lists.
const assumedBase = 56 << 20

// Estimate counts the cost of training the given layers on a number of rows, with
// held numbers of all roles in memory. A param is four numbers while it is trained and
// three in a checkpoint. Those and the rows count twice: once for themselves, once
// for the room that Go leaves between two collections (GOGC), which the memory of a
// step, taken once and late, does not need.
func (s *Section) Estimate(layers []nn.LayerInfo, rows int, held int64) Estimate {
	params, flops := vae.Total(layers)
	passes := 3.0 // forward, gradient at the input, gradient at the weights
	if s.Harden != nil {
		passes = 6 + 2*float64(s.Harden.Steps)
	}
	activations := 0
	for _, l := range layers {
		activations += l.Out.Size()
	}
	out := Estimate{
		Steps:        (rows + s.BatchSize - 1) / s.BatchSize,
		GFLOPPerStep: passes * float64(flops) * float64(s.BatchSize) / 1e9,
		MemoryMiB:    int((assumedBase + 2*4*held + 2*4*(4+3)*int64(params) + 3*4*int64(activations)*int64(s.stepRows(rows)) + 1<<20 - 1) >> 20),
	}
	step := time.Duration(out.GFLOPPerStep/assumedGFLOPS*float64(time.Second)) + assumedStep
	if s.Harden != nil { // the inner attack asks the classifier at each of its steps
		step += assumedStep * time.Duration(s.Harden.Steps)
	}
	out.Time = step * time.Duration(out.Steps*s.Epochs)
	out.Time = out.Time.Round(10 * time.Millisecond)
	if out.Time > 10*time.Second {
		out.Time = out.Time.Round(time.Second)
	}
	return out
}

// stepRows is how many rows the largest step of a training on n takes at once: a
// hardened one has the attacked rows besides.
func (s *Section) stepRows(n int) int {
	b := min(s.BatchSize, n)
	if s.Harden != nil {
		b *= 2
	}
	return b
}

// String is one line.
func (e Estimate) String() string {
	return fmt.Sprintf("%d steps per epoch, %.3g GFLOP each, about %s", e.Steps, e.GFLOPPerStep, e.Time)
}

// GradientRows is how many rows the training asks the classifier's gradient of, in steps
// batches an epoch: once each, and where it hardens in each step of the attack and for both
// kinds of rows.
func (s *Section) GradientRows(steps int) int {
	passes := 1
	if s.Harden != nil {
		passes = s.Harden.Steps + 2
	}
	return passes * steps * s.BatchSize * s.Epochs
}
