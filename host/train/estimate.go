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
	// GradientRows are the rows of which a loss that reads the classifier asks its gradient, Queries
	// those of which it asks its answer: a gradient's answer among them, but not what a surrogate asks
	// in order to learn, nor what differences or NES ask for each gradient.
	GradientRows int64 `json:"gradient_rows"`
	Queries      int64 `json:"queries"`
	// RobustRows are the validation rows that are attacked to measure val_robust, RobustTimes how
	// often; the figures above have them. 0: none are.
	RobustRows  int `json:"robust_rows,omitempty"`
	RobustTimes int `json:"robust_times,omitempty"`
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

// Estimate counts the cost of training the given layers on so many rows of data.train,
// with so many of data.validation, and held numbers of all roles in memory. A param is four numbers while it is trained and
// three in a checkpoint. Those and the rows count twice: once for themselves, once
// for the room that Go leaves between two collections (GOGC), which the memory of a
// step, taken once and late, does not need.
func (s *Section) Estimate(layers []nn.LayerInfo, rows, validation int, held int64) Estimate {
	params, flops := vae.Total(layers)
	passes := 3.0 // forward, gradient at the input, gradient at the weights
	if s.Harden != nil {
		passes = s.Harden.passes()
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
	s.ask(&out, rows, validation)
	if n := out.RobustRows * out.RobustTimes; n > 0 {
		calls := out.RobustTimes * ((out.RobustRows + s.BatchSize - 1) / s.BatchSize) * (s.Harden.Robust.Steps + 1)
		out.Time += time.Duration(s.Harden.robustPasses()*float64(flops)*float64(n)/1e9/assumedGFLOPS*float64(time.Second)) + assumedStep*time.Duration(calls)
	}
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

// ask counts what the training asks the classifier, epoch for epoch: each row's gradient
// once, and where it hardens in each step of the attack and for both kinds of rows;
// reconstructions of validation rows; and to measure val_robust, for a row and its
// reconstruction, a gradient in each step and one more answer.
func (s *Section) ask(out *Estimate, rows, validation int) {
	n, v, epochs, passes := int64(rows), int64(validation), int64(s.Epochs), int64(1)
	if s.Harden != nil {
		passes = int64(s.Harden.Steps) + 2
	}
	out.GradientRows = passes * n * epochs
	out.Queries = n + v + out.GradientRows + v*epochs
	if s.Harden == nil {
		return
	}
	if p := s.Harden.plan(rows, validation, s.Epochs); p.rows > 0 {
		out.RobustRows, out.RobustTimes = p.rows, p.times()
		attacked, steps := 2*int64(out.RobustRows)*int64(out.RobustTimes), int64(s.Harden.Robust.Steps)
		out.GradientRows += attacked * steps
		out.Queries += attacked * (steps + 1)
	}
}
