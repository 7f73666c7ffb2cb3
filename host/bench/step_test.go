package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestStepsOfAnEndedTraining: a context that ends between two turns ends the next
// one, which would wait for ever for a training that is no more.
func TestStepsOfAnEndedTraining(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in := tensor.Shape{2}
	s, err := newStepper(ctx, Options{Threads: 1, Train: train.Options{Section: train.Section{BatchSize: 1}}, Fit: func(ctx context.Context, o train.Options) error {
		for step := 1; ctx.Err() == nil; step++ {
			o.Events(train.Event{Stage: train.StageStep, Step: step})
		}
		return ctx.Err()
	}}, in, newPlain(in, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if _, err := s.steps(4); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range s.ready { // until it has ended
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.steps(1)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("steps waits for a training that has ended")
	}
}
