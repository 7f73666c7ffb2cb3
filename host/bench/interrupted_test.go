package bench_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
)

// TestInterrupted: whichever part is under way, a context that ends ends the
// measurement with the context's error, also where no round was run.
func TestInterrupted(t *testing.T) {
	e, err := host.Load("../../specs/bench-tabular.yaml", nil, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"matrix products", "layers", "training and scoring"} {
		t.Run(part, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := e.Bench(ctx, host.BenchOptions{Budget: time.Millisecond, Progress: func(name string) {
				if name == part {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("result %v, error %v", r, err)
			}
		})
	}
}
