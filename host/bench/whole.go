package bench

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// variant is one way to train: with the classifier here, as a subprocess, or
// with a stand-in that takes no time.
type variant struct {
	c    sdk.Classifier
	stop func() error
	s    *stepper
	n    int // steps a turn

	batch                        int
	step, calls, optimizer, rest []float64 // ms a step
	cpu                          []float64 // ms a step
	rows                         []float64 // that the classifier saw, an example and step
}

// start begins a training. With turns host and classifier never work at the same
// time, so that the parts of a step add up to it.
func (b *bench) start(f Starter, turns bool) (*variant, error) {
	v := &variant{stop: func() error { return nil }, batch: b.o.Train.BatchSize}
	o := b.o
	var err error
	if f == nil {
		v.c = newPlain(b.m.Input, b.o.Classes)
	} else if v.c, v.stop, err = f(b.ctx); err != nil {
		return nil, err
	} else if o.Train.Hidden, err = b.heads(v.c); err != nil {
		return nil, errors.Join(err, v.stop())
	}
	o.Train.InTurns = turns
	if v.s, err = newStepper(b.ctx, o, b.m.Input, v.c); err != nil {
		return nil, errors.Join(err, v.stop())
	}
	d, err := v.s.steps(1)
	if err != nil {
		return nil, errors.Join(err, v.end())
	}
	v.n = repeats(d, 20*time.Millisecond)
	return v, nil
}

// heads are those on the classifier's hidden layers.
func (b *bench) heads(c sdk.Classifier) ([]oracle.Head, error) {
	if b.o.Heads == nil {
		return nil, nil
	}
	info, err := c.Info(b.ctx)
	if err != nil {
		return nil, err
	}
	return b.o.Heads(info)
}

func (v *variant) end() error {
	v.s.stop()
	return v.stop()
}

// turn makes some steps.
func (v *variant) turn() error {
	calls, optimizer, rows := v.s.asked.spent, v.s.optimize, v.s.asked.rows
	cpu := processTime()
	d, err := v.s.steps(v.n)
	if err != nil {
		return err
	}
	per := func(d time.Duration) float64 { return ms(d) / float64(v.n) }
	c, o := per(v.s.asked.spent-calls), per(v.s.optimize-optimizer)
	v.step, v.calls, v.optimizer = append(v.step, ms(d)), append(v.calls, c), append(v.optimizer, o)
	v.cpu = append(v.cpu, per(processTime()-cpu))
	v.rest = append(v.rest, ms(d)-c-o)
	v.rows = append(v.rows, float64(v.s.asked.rows-rows)/float64(v.n*v.batch))
	return nil
}

// whole measures training steps and scoring.
func (b *bench) whole() (err error) {
	var vs []*variant
	defer func() {
		for _, v := range vs {
			err = errors.Join(err, v.end())
		}
	}()
	if err := b.engineAllocations(); err != nil {
		return err
	}
	starters := slices.DeleteFunc([]Starter{b.o.Local, b.o.Remote}, func(f Starter) bool { return f == nil })
	guarded := len(starters) > 0
	if !guarded {
		starters = append(starters, nil)
	}
	for _, f := range starters {
		v, err := b.start(f, true)
		if err != nil {
			return err
		}
		vs = append(vs, v)
	}
	var over *overlap
	if guarded {
		if over, err = b.overlapped(starters[len(starters)-1]); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, over.end()) }()
	}
	score, err := b.scorers(vs[len(vs)-1].c, guarded)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, score.close()) }()
	var ratios, shares []float64
	flop := b.stepFLOP()
	b.o.Budget *= 2
	err = b.rounds(func() error {
		peak := b.peak() * float64(b.k.Threads())
		for _, v := range vs {
			if err := v.turn(); err != nil {
				return err
			}
		}
		last := len(vs[0].step) - 1
		v := vs[len(vs)-1]
		ratios = append(ratios, v.step[last]/vs[0].step[last])
		shares = append(shares, flop/(v.step[last]-v.calls[last])*1e3/peak)
		if over != nil {
			if err := over.turn(v); err != nil {
				return err
			}
		}
		return score.turn()
	})
	if err != nil {
		return err
	}
	b.report(vs, ratios, shares, flop)
	score.report(&b.r)
	if over != nil {
		over.report(&b.r)
	}
	b.r.hardened = b.o.Train.Harden != nil
	b.r.Verdict = b.r.verdict()
	return nil
}

func (b *bench) engineAllocations() error {
	v, err := b.start(nil, true)
	if err != nil {
		return err
	}
	b.r.Allocs, err = v.s.allocations()
	return errors.Join(err, v.end())
}

// stepFLOP is the auto-encoder's arithmetic in a training step. A hardened one has
// twice the rows, and passes the attacked ones forward and back to their input in each step
// of an inner attack through the guard.
func (b *bench) stepFLOP() float64 {
	sum := 0.0
	for _, f := range append(passFLOP(b.m.Encoder, true), passFLOP(b.m.Decoder, false)...) {
		sum += f
	}
	if b.m.Coding == vae.Sampled {
		sum += 2 * 6 * float64(b.m.Encoder.Out().Size()*b.m.LatentDim)
	}
	if h := b.o.Train.Harden; h != nil {
		sum *= 2
		if _, forward := vae.Total(b.m.Describe()); h.Through == "guard" {
			sum += float64(2*h.Steps) * float64(forward)
		}
	}
	return sum * float64(b.o.Train.BatchSize)
}

func (b *bench) report(vs []*variant, ratios, shares []float64, flop float64) {
	v, here := vs[len(vs)-1], vs[0]
	batch := b.o.Train.BatchSize
	params, _ := vae.Total(b.m.Describe())
	step := median(v.step)
	b.r.Train = Step{Batch: batch, MS: step, Best: slices.Min(v.step), CPU: median(v.cpu), Images: float64(batch) / step * 1e3, Share: median(shares),
		MFLOP: flop / 1e6 / float64(batch), Params: params}
	b.r.Parts = Parts{VAE: median(v.rest), Optimizer: median(v.optimizer)}
	if b.o.Local == nil && b.o.Remote == nil {
		return
	}
	b.r.Parts.Plugin = median(here.calls)
	b.r.Asked = &Asked{Training: median(v.rows) + 1/float64(max(1, b.o.Train.Epochs)), TrainingReference: median(v.rows) + 1}
	if len(vs) == 2 {
		b.r.Parts.Transport = median(v.calls) - median(here.calls)
		b.r.Boundary = &Boundary{Subprocess: step, InProcess: median(here.step), Ratio: median(ratios)}
	}
}

// scorer scores batches of one size.
type scorer struct {
	x    *tensor.Tensor
	n    int // repeats
	each []float64
	cpu  []float64
}

// scorers measure scoring at several batch sizes.
type scorers struct {
	run     func(x *tensor.Tensor) error
	close   func() error
	all     []*scorer
	asked   *meter // nil without a classifier
	samples int
}

// scoreBatches are the batch sizes of scoring: 1, 64 and that of training.
func (b *bench) scoreBatches() []int {
	sizes := []int{1, 64, b.o.Train.BatchSize}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

func (b *bench) scorers(c sdk.Classifier, guarded bool) (*scorers, error) {
	noise, samples := b.o.Noise, 1
	if noise != nil {
		samples = noise.N()
	}
	if b.o.Voting != nil {
		samples = b.o.Voting.Form().Rebuilt
	}
	s := &scorers{close: func() error { return nil }, samples: samples}
	sizes := b.scoreBatches()
	largest := sizes[len(sizes)-1]
	if guarded {
		var counted sdk.Classifier
		counted, s.asked = metered(c)
		d, err := b.detector(counted, samples, false)
		if err != nil {
			return nil, err
		}
		s.close = d.Close
		s.run = func(x *tensor.Tensor) error {
			_, err := d.Scores(b.ctx, x)
			return err
		}
	} else {
		k, err := kernel.New(kernel.Options{Threads: b.o.Threads, Precision: b.o.Detect.Precision})
		if err != nil {
			return nil, err
		}
		s.close = func() error {
			k.Close()
			return nil
		}
		pass := b.opinion(samples).NewPass(k)
		out := tensor.Batch(largest*samples, b.m.Input)
		s.run = func(x *tensor.Tensor) error {
			pass.Forward(&detect.Second{Rebuilt: out.Rows(0, x.N()*samples)}, x, noise)
			return nil
		}
	}
	for _, n := range sizes {
		one := &scorer{x: random(9, append([]int{n}, b.m.Input...)...)}
		var err error
		f := func() {
			if e := s.run(one.x); e != nil {
				err = e
			}
		}
		clock(2, f)
		one.n = repeats(clock(2, f), 10*time.Millisecond)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.all = append(s.all, one)
	}
	return s, nil
}

func (s *scorers) turn() (err error) {
	for _, one := range s.all {
		cpu := processTime()
		d := clock(one.n, func() {
			if e := s.run(one.x); e != nil {
				err = e
			}
		})
		one.each = append(one.each, ms(d))
		one.cpu = append(one.cpu, ms(processTime()-cpu)/float64(one.n))
	}
	return err
}

func (s *scorers) report(r *Result) {
	r.Score = map[string]Score{}
	for _, one := range s.all {
		t := median(one.each)
		r.Score[strconv.Itoa(one.x.N())] = Score{MS: t, Best: slices.Min(one.each), CPU: median(one.cpu), Images: float64(one.x.N()) / t * 1e3}
	}
	if r.Asked != nil && s.asked != nil {
		one := s.all[0]
		before := s.asked.rows
		if s.run(one.x) == nil {
			r.Asked.Scoring = float64(s.asked.rows-before) / float64(one.x.N())
		}
		r.Asked.ScoringReference = float64(2 * s.samples)
	}
}

// detector scores with the first of the spec's scores.
func (b *bench) detector(c sdk.Classifier, samples int, turns bool) (*detect.Detector, error) {
	o := b.o.Detect
	var err error
	if o.Hidden, err = b.heads(c); err != nil {
		return nil, err
	}
	o.Fusion = detect.NoFusion // which needs a calibration and costs next to nothing
	o.Scores = o.Scores[:1]
	o.Classifier, o.Noise, o.Threads, o.InTurns = c, b.o.Noise, b.o.Threads, turns
	o.Opinion = b.opinion(samples)
	return detect.New(b.ctx, o)
}

// opinion is the auto-encoder's.
func (b *bench) opinion(samples int) detect.Opinion {
	if b.o.Voting != nil {
		return b.o.Voting
	}
	if b.o.Noise == nil {
		return detect.Reconstruction(detect.FromVAE(b.m))
	}
	return detect.Sampling(detect.FromVAE(b.m), samples)
}
