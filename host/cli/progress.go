package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress reports long work on stderr: a bar with ETA and metrics on a
// terminal, a line per stage elsewhere, nothing if quiet.
type progress struct {
	w     io.Writer
	bars  *mpb.Progress // nil elsewhere than on a terminal
	quiet bool

	mu   sync.Mutex
	open []*mpb.Bar
}

func newProgress(w io.Writer, quiet bool) *progress {
	p := &progress{w: w, quiet: quiet}
	if f, ok := w.(*os.File); ok && isatty.IsTerminal(f.Fd()) && !quiet {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithRefreshRate(120*time.Millisecond))
	}
	return p
}

// Wait ends drawing: what is printed afterwards stands below the bars. Bars of
// work that ended early, or failed, stay where they were.
func (p *progress) Wait() {
	if p.bars == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.open {
		b.Abort(false) // nothing if it is complete; mpb would wait for it for ever
	}
	p.open = nil
	p.bars.Wait()
}

// Note prints one line.
func (p *progress) Note(format string, args ...any) {
	if p.quiet {
		return
	}
	line := fmt.Sprintf(format, args...) + "\n"
	if p.bars != nil {
		_, _ = p.bars.Write([]byte(line))
		return
	}
	fmt.Fprint(p.w, line)
}

// task is one piece of work of a known number of steps.
type task struct {
	p     *progress
	bar   *mpb.Bar
	name  string
	start time.Time

	mu      sync.Mutex
	metrics string
}

// Task starts a piece of work.
func (p *progress) Task(name string, steps int) *task {
	t := &task{p: p, name: name, start: time.Now()}
	if p.bars != nil {
		t.bar = p.bars.AddBar(int64(steps),
			mpb.PrependDecorators(decor.Name(name, decor.WC{W: 18, C: decor.DindentRight})),
			mpb.AppendDecorators(
				decor.Percentage(decor.WC{W: 5}),
				decor.Name("  "),
				decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 6}), ""),
				decor.Any(func(decor.Statistics) string {
					t.mu.Lock()
					defer t.mu.Unlock()
					return "  " + t.metrics
				}),
			))
		p.mu.Lock()
		p.open = append(p.open, t.bar)
		p.mu.Unlock()
	}
	return t
}

// Step says that n steps in all are done.
func (t *task) Step(n int, metrics map[string]float64) {
	t.mu.Lock()
	if len(metrics) > 0 {
		t.metrics = metricText(metrics)
	}
	t.mu.Unlock()
	if t.bar != nil {
		t.bar.SetCurrent(int64(n))
	}
}

// Line reports the end of a stage, such as an epoch, where there is no bar.
func (t *task) Line(stage string, metrics map[string]float64) {
	if t.bar == nil {
		parts := []string{t.name + " " + stage}
		if len(metrics) > 0 {
			parts = append(parts, metricText(metrics))
		}
		t.p.Note("%s  %.1fs", strings.Join(parts, "  "), time.Since(t.start).Seconds())
	}
}

// Done ends the work.
func (t *task) Done() {
	if t.bar != nil {
		t.bar.SetTotal(-1, true)
	}
}

// Abort ends work that failed: the bar stays where it was.
func (t *task) Abort() {
	if t.bar != nil {
		t.bar.Abort(false)
	}
}

// metricText writes metrics in a fixed order: loss first, then by name.
func metricText(metrics map[string]float64) string {
	names := make([]string, 0, len(metrics))
	for n := range metrics {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if (a == "loss") != (b == "loss") {
			if a == "loss" {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%s %.4g", n, metrics[n])
	}
	return strings.Join(parts, "  ")
}
