package bench

import (
	"context"
	"math"
	"runtime"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// epochSteps is the number of steps of a synthetic epoch.
const epochSteps = 16

// stepper is a real training that stops after every few steps and waits to be
// sent on, so that several can be measured in turns.
type stepper struct {
	ctx    context.Context
	cancel context.CancelFunc
	left   int           // steps until it reports; the training's own
	step   int           // of the epoch, from 1
	goOn   chan int      // to the training: how many steps
	ready  chan struct{} // from it; closed when it has ended
	err    error

	engine   *kernel.Engine
	optimize time.Duration // total time in the optimiser
	asked    *meter
}

// newStepper starts a training and lets it make the first steps.
func newStepper(ctx context.Context, o Options, in tensor.Shape, c sdk.Classifier) (*stepper, error) {
	k, err := kernel.New(kernel.Options{Threads: o.Threads, Precision: o.Train.Precision})
	if err != nil {
		return nil, err
	}
	s := &stepper{goOn: make(chan int), ready: make(chan struct{}), left: 3, engine: k}
	s.ctx, s.cancel = context.WithCancel(ctx)
	t, fit := o.Train, o.Fit
	if t.Engine = k; fit == nil {
		if t.Model, err = o.Model(); err != nil {
			k.Close()
			return nil, err
		}
		fit = func(ctx context.Context, t train.Options) error { _, err := train.Run(ctx, t); return err }
	}
	if p, ok := c.(*plain); ok {
		t.Classifier, s.asked = p, &meter{} // takes no time, and no memory either
	} else {
		t.Classifier, s.asked = metered(c)
	}
	if t.Train == nil {
		t.Train = dataset.InMemory(random(8, append([]int{epochSteps * t.BatchSize}, in...)...))
	}
	t.Epochs = math.MaxInt32
	t.Optimizer = &timedOptimizer{Optimizer: t.Optimizer, spent: &s.optimize}
	t.Events = s.observe
	go func() {
		s.err = fit(s.ctx, t)
		close(s.ready)
	}()
	if err := s.wait(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// observe is called within the training.
func (s *stepper) observe(e train.Event) {
	if e.Stage != train.StageStep {
		return
	}
	if s.left--; s.left > 0 {
		return
	}
	s.step = e.Step
	select {
	case s.ready <- struct{}{}:
	case <-s.ctx.Done():
		return
	}
	select {
	case s.left = <-s.goOn:
	case <-s.ctx.Done():
	}
}

// wait waits for the training's report.
func (s *stepper) wait() error {
	if _, ok := <-s.ready; ok {
		return nil
	}
	if s.err == nil {
		return context.Canceled
	}
	return s.err
}

// steps makes n steps and returns the time of one. A training that the context has
// ended waits for no one.
func (s *stepper) steps(n int) (time.Duration, error) {
	start := time.Now()
	select {
	case s.goOn <- n:
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
	err := s.wait()
	return time.Since(start) / time.Duration(n), err
}

// stop ends the training.
func (s *stepper) stop() {
	s.cancel()
	for range s.ready {
	}
	s.engine.Close()
}

// allocations per step, within an epoch: the least of several runs, since the
// runtime allocates now and then for itself.
func (s *stepper) allocations() (float64, error) {
	least := math.Inf(1)
	const n = epochSteps / 2
	for i := 0; i < 4 && least > 0; i++ {
		for s.step != 1 {
			if _, err := s.steps(1); err != nil {
				return 0, err
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := s.steps(n); err != nil {
			return 0, err
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/n)
	}
	return least, nil
}
