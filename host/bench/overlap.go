package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Overlap is what is gained by host and classifier working at the same time.
type Overlap struct {
	Train Saved `json:"train_step"`
	Score Saved `json:"score"` // of Rows rows, several calls
	Rows  int   `json:"score_rows"`
	// Attack is a step of an attacker who knows the guard: its outputs and their gradient at
	// AttackRows rows. Nil: the classifier has no gradient, or the method votes.
	Attack     *Saved `json:"attack_step"`
	AttackRows int    `json:"attack_rows"`
}

// Saved compares the same work, with the same bits, in turns and overlapped. Times
// are milliseconds by the clock, medians.
type Saved struct {
	Turns      float64 `json:"in_turns_ms"`
	Both       float64 `json:"overlapped_ms"`
	Host       float64 `json:"host_ms"` // in turns
	Classifier float64 `json:"classifier_ms"`
	Ratio      float64 `json:"ratio"` // median of those of neighbouring measurements
	// Hidden is the fraction of the shorter side's time that went by while the longer
	// one worked: 1 at best. On cores that both fill it stays near 0, since there is
	// nothing to be had.
	Hidden float64 `json:"hidden"`
}

// scoreRows is how many rows are scored to measure overlap: several calls.
const scoreRows = 256

// attackRows is how many rows are attacked together to measure overlap.
const attackRows = 64

// overlap measures against what is measured in turns.
type overlap struct {
	v           *variant
	x           *tensor.Tensor
	turns, both *detect.Detector
	asked       *meter
	train       saved
	score       saved
	attack      saved
	attacks     bool
}

type saved struct{ turns, both, classifier, ratios []float64 }

func (s *saved) add(turns, both, classifier float64) {
	s.turns, s.both = append(s.turns, turns), append(s.both, both)
	s.classifier, s.ratios = append(s.classifier, classifier), append(s.ratios, both/turns)
}

func (s *saved) result() Saved {
	out := Saved{Turns: median(s.turns), Both: median(s.both), Classifier: median(s.classifier), Ratio: median(s.ratios)}
	out.Host = max(0, out.Turns-out.Classifier)
	if least := min(out.Host, out.Classifier); least > 0 {
		out.Hidden = min(1, max(0, (1-out.Ratio)*out.Turns/least))
	}
	return out
}

// overlapped starts a training and two detectors with a classifier of their own.
func (b *bench) overlapped(f Starter) (o *overlap, err error) {
	o = &overlap{x: random(10, append([]int{scoreRows}, b.m.Input...)...)}
	if o.v, err = b.start(f, false); err != nil {
		return nil, err
	}
	samples := 1
	if b.o.Noise != nil {
		samples = b.o.Noise.N()
	}
	c, asked := metered(o.v.c)
	o.asked = asked
	if o.turns, err = b.detector(c, samples, true); err == nil {
		o.both, err = b.detector(c, samples, false)
	}
	for _, d := range []*detect.Detector{o.turns, o.both} { // takes the memory
		if err == nil {
			_, err = d.Scores(b.ctx, o.x)
		}
	}
	if err == nil && b.o.Voting == nil {
		var info sdk.Info
		if info, err = c.Info(b.ctx); err == nil && info.Gradient != sdk.NoGradient {
			o.attacks = true
			for _, d := range []*detect.Detector{o.turns, o.both} {
				if err == nil {
					err = o.climb(b.ctx, d)
				}
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, o.end())
	}
	return o, nil
}

// climb is what a step of an attack asks of a guard.
func (o *overlap) climb(ctx context.Context, d *detect.Detector) error {
	x := o.x.Rows(0, attackRows)
	outs, pull, err := d.Guard(detect.GuardOptions{}).Forward(ctx, x, sdk.Output, detect.OutputReconstructed)
	if err != nil {
		return err
	}
	_, err = pull(ctx, outs) // any cotangents of their shapes
	return err
}

func (o *overlap) end() error {
	err := o.v.end()
	for _, d := range []*detect.Detector{o.turns, o.both} {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
	}
	return err
}

// turn measures once, right after a turn of the training in turns.
func (o *overlap) turn(turns *variant) error {
	if err := o.v.turn(); err != nil {
		return err
	}
	last := len(turns.step) - 1
	o.train.add(turns.step[last], o.v.step[len(o.v.step)-1], turns.calls[last])
	ctx := o.v.s.ctx
	before, start := o.asked.spent, time.Now()
	if _, err := o.turns.Scores(ctx, o.x); err != nil {
		return err
	}
	inTurns, spent := time.Since(start), o.asked.spent-before
	start = time.Now()
	if _, err := o.both.Scores(ctx, o.x); err != nil {
		return err
	}
	o.score.add(ms(inTurns), ms(time.Since(start)), ms(spent))
	if !o.attacks {
		return nil
	}
	before, start = o.asked.spent, time.Now()
	if err := o.climb(ctx, o.turns); err != nil {
		return err
	}
	inTurns, spent = time.Since(start), o.asked.spent-before
	start = time.Now()
	if err := o.climb(ctx, o.both); err != nil {
		return err
	}
	o.attack.add(ms(inTurns), ms(time.Since(start)), ms(spent))
	return nil
}

// report replaces the figures of a step by those of a step as trainings make it.
func (o *overlap) report(r *Result) {
	r.Overlap = &Overlap{Train: o.train.result(), Score: o.score.result(), Rows: scoreRows}
	if o.attacks {
		s := o.attack.result()
		r.Overlap.Attack, r.Overlap.AttackRows = &s, attackRows
	}
	t := &r.Train
	t.MS, t.Best, t.CPU = median(o.v.step), slices.Min(o.v.step), median(o.v.cpu)
	t.Images = float64(t.Batch) / t.MS * 1e3
}

// verdict is a line on what would make the job faster.
func (r *Result) verdict() string {
	share := fmt.Sprintf("%.0f %% of the processor's multiply-add peak", 100*r.Train.Share)
	near := r.Train.Share > .5
	if p := r.Precision; p != nil && p.Native && p.Train != nil { // at most twice as much
		share, near = share+" in float32", r.Train.Share > 1
	}
	if r.Overlap == nil {
		return "the auto-encoder reaches " + share
	}
	s := r.Overlap.Train
	c := s.Classifier / s.Turns
	switch {
	case r.Parts.Transport > .3*s.Turns:
		return fmt.Sprintf("the way to the classifier's process and back takes %.0f %% of a training step: larger batches would help (train.batch_size)", 100*r.Parts.Transport/s.Turns)
	case c > .6 && r.hardened:
		return fmt.Sprintf("the classifier takes %.0f %% of a training step: a faster one, or fewer steps of train.harden, would help most", 100*c)
	case c > .6:
		return fmt.Sprintf("the classifier takes %.0f %% of a training step: a faster one would help most", 100*c)
	case c < .3 && near:
		return fmt.Sprintf("the auto-encoder takes %.0f %% of a training step and reaches %s: a smaller one would help most", 100*(1-c), share)
	case c < .3:
		return fmt.Sprintf("the auto-encoder takes %.0f %% of a training step, at %s: more cores, or layers with more channels and fewer pixels, would help most", 100*(1-c), share)
	}
	return fmt.Sprintf("auto-encoder and classifier take %.0f and %.0f %% of a training step: more cores would help most", 100*(1-c), 100*c)
}
