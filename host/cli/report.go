package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

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

// reportStep is how often progress is reported as data, but for what has ended.
const reportStep = 100 * time.Millisecond

// progressLine is one report of progress as data.
type progressLine struct {
	Stage   string             `json:"stage"`
	Done    int                `json:"done"`
	Total   int                `json:"total"`
	Epoch   int                `json:"epoch,omitempty"`
	Epochs  int                `json:"epochs,omitempty"`
	Ended   bool               `json:"ended"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
}

// reportJSON reports progress on standard error as lines of JSON, for a program that
// shows bars of its own. It is called from one goroutine at a time.
func (a *app) reportJSON() func(host.Progress) {
	var last time.Time
	return func(p host.Progress) {
		if !p.Ended && time.Since(last) < reportStep {
			return
		}
		last = time.Now()
		metrics := map[string]float64{}
		for name, v := range p.Metrics {
			if !math.IsNaN(v) && !math.IsInf(v, 0) { // JSON has neither
				metrics[name] = v
			}
		}
		line, err := json.Marshal(progressLine{p.Stage, p.Done, p.Total, p.Epoch, p.Epochs, p.Ended, metrics})
		if err == nil {
			_, _ = fmt.Fprintf(a.stderr, "%s\n", line)
		}
	}
}
