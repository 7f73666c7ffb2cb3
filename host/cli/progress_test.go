package cli

import (
	"io"
	"testing"

	"github.com/vbauerster/mpb/v8"
)

// A bar of work that ended before its total, by early stopping or an error,
// does not keep the program from ending.
func TestWaitForOpenBars(t *testing.T) {
	p := &progress{w: io.Discard, bars: mpb.New(mpb.WithOutput(io.Discard), mpb.WithAutoRefresh())}
	p.Task("detector", 20).Step(7, map[string]float64{"loss": 1})
	whole := p.Task("predict", 3)
	whole.Step(3, nil)
	whole.Done()
	p.Task("attack", 5).Abort()
	p.Wait()
	p.Wait()
}
