package launch

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestChaos kills the plugin at random moments, also while it starts, under
// several callers: nobody notices.
func TestChaos(t *testing.T) {
	const kills, callers = 8, 3
	c := start(t, "fake", Options{Checks: ChecksOff, Replicas: 2, RestartBudget: 50, Backoff: time.Millisecond})
	f := fake()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range callers {
		x, dy := random(uint64(i), 6, 4, 3, 2), random(uint64(100+i), 6, 5)
		y, _, dx := local(t, f, x, dy, nil)
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				outs, pull, err := c.Forward(t.Context(), x)
				if err != nil || !slices.Equal(outs[sdk.Output].Data, y.Data) {
					t.Errorf("forward: %v, %v", outs, err)
					return
				}
				got, err := pull(t.Context(), map[string]*tensor.Tensor{sdk.Output: dy})
				if err != nil || !slices.Equal(got.Data, dx.Data) {
					t.Errorf("backward: %v, %v", got, err)
					return
				}
				got, err = c.Gradient(t.Context(), x, dy)
				if err != nil || !slices.Equal(got.Data, dx.Data) {
					t.Errorf("gradient: %v, %v", got, err)
					return
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range kills {
		time.Sleep(time.Duration(r.IntN(80)) * time.Millisecond)
		if p := c.replicas[r.IntN(2)].current(); p != nil {
			kill9(t, p)
		}
	}
	close(done)
	wg.Wait()
}
