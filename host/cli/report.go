package cli

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host"
)

// report turns the facade's progress into bars and lines. It is called from
// one goroutine at a time.
func (a *app) report() func(host.Progress) {
	tasks := map[string]*task{}
	return func(p host.Progress) {
		t, ok := tasks[p.Stage]
		if !ok {
			if p.Ended && p.Epochs == 0 && p.Done == p.Total && p.Total <= 1 {
				a.progress().Note("%s  %s", p.Stage, metricText(p.Metrics))
				return
			}
			t = a.progress().Task(p.Stage, p.Total)
			tasks[p.Stage] = t
		}
		t.Step(p.Done, p.Metrics)
		if !p.Ended {
			return
		}
		if p.Epochs > 0 {
			t.Line(fmt.Sprintf("epoch %d/%d", p.Epoch, p.Epochs), p.Metrics)
		} else {
			t.Line("done", p.Metrics)
		}
		if p.Done >= p.Total {
			t.Done()
			delete(tasks, p.Stage)
		}
	}
}
