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
)

// progress reports long work on stderr: a bar with the time left and metrics on
// a terminal, a line per stage elsewhere, nothing if quiet. It owns nothing that
// must be ended, so that whatever stops the work, the program ends.
type progress struct {
	w     io.Writer
	quiet bool
	width func() int // of the terminal, in columns; nil elsewhere than on one

	mu    sync.Mutex
	open  []*task // in the order of their last steps: the last one is shown
	shown string  // what stands on the terminal's last line, "" if nothing does
	drawn time.Time
}

// redraw is how often a bar is drawn at most.
const redraw = 100 * time.Millisecond

func newProgress(w io.Writer, quiet bool) *progress {
	p := &progress{w: w, quiet: quiet}
	if f, ok := w.(*os.File); ok && isatty.IsTerminal(f.Fd()) && !quiet {
		p.width = func() int { return terminalWidth(f) }
	}
	return p
}

// Wait leaves the bars of open work where they are: what is printed afterwards
// stands below them. Further work gets bars of its own.
func (p *progress) Wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.open) > 0 {
		p.leave(p.open[0])
	}
}

// Note prints one line, unless quiet.
func (p *progress) Note(format string, args ...any) {
	if !p.quiet {
		_, _ = fmt.Fprintf(p, format+"\n", args...)
	}
}

// Write writes whole lines above the bar.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	n, err := p.w.Write(b)
	p.draw()
	return n, err
}

// terminal reports whether there are bars.
func (p *progress) terminal() bool { return p.width != nil }

// clear empties the terminal's last line. It works without escapes, which not
// every terminal knows.
func (p *progress) clear() {
	if p.shown != "" {
		fmt.Fprintf(p.w, "\r%*s\r", columns(p.shown), "")
		p.shown = ""
	}
}

// draw shows the bar of the work that stepped last.
func (p *progress) draw() {
	if p.width == nil || len(p.open) == 0 {
		return
	}
	line := p.open[len(p.open)-1].line(p.width(), time.Now())
	if line == p.shown {
		return
	}
	fmt.Fprintf(p.w, "\r%s%*s", line, max(0, columns(p.shown)-columns(line)), "")
	p.shown, p.drawn = line, time.Now()
}

// leave ends the drawing of a bar, which stays where it is.
func (p *progress) leave(t *task) {
	if i := slices.Index(p.open, t); i >= 0 {
		p.open = slices.Delete(p.open, i, i+1)
		p.clear()
		fmt.Fprintln(p.w, t.line(p.width(), time.Now()))
		p.draw()
	}
}

// task is one piece of work of a known number of steps.
type task struct {
	p           *progress
	name        string
	start       time.Time
	done, total int
	first       int // steps that were done when it began, as after a resumption; -1: none was told
	metrics     string
}

// Task starts a piece of work.
func (p *progress) Task(name string, steps int) *task {
	t := &task{p: p, name: name, start: time.Now(), total: steps, first: -1}
	if p.terminal() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open = append(p.open, t)
		p.draw()
	}
	return t
}

// Step says that n steps in all are done.
func (t *task) Step(n int, metrics map[string]float64) {
	if !t.p.terminal() {
		return
	}
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.first < 0 {
		t.first = n - 1
	}
	t.done = n
	if len(metrics) > 0 {
		t.metrics = metricText(metrics)
	}
	if i := slices.Index(t.p.open, t); i >= 0 {
		t.p.open = append(slices.Delete(t.p.open, i, i+1), t)
		if time.Since(t.p.drawn) >= redraw {
			t.p.draw()
		}
	}
}

// Line reports the end of a stage, such as an epoch, where there is no bar.
func (t *task) Line(stage string, metrics map[string]float64) {
	if !t.p.terminal() {
		parts := []string{t.name + " " + stage}
		if len(metrics) > 0 {
			parts = append(parts, metricText(metrics))
		}
		t.p.Note("%s  %.1fs", strings.Join(parts, "  "), time.Since(t.start).Seconds())
	}
}

// Done ends the work. Its bar is full, though the work may have ended early.
func (t *task) Done() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.done = t.total
	t.p.leave(t)
}

// Abort ends work that failed: the bar stays where it was.
func (t *task) Abort() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.p.leave(t)
}

// barCells is the length of a bar on a terminal that is wide enough.
const barCells = 24

// line is the task in one line of at most width-3 columns, so that no terminal
// wraps it, with the ^C that one echoes: name, bar, share, time left or taken,
// metrics.
func (t *task) line(width int, now time.Time) string {
	share := 1.0
	if t.total > 0 {
		share = min(1, max(0, float64(t.done)/float64(t.total)))
	}
	cells := min(barCells, width/4)
	full := int(share * float64(cells))
	text := fmt.Sprintf("%-18s [%s%s] %3d %%", t.name, strings.Repeat("=", full), strings.Repeat("-", cells-full), int(100*share))
	taken := now.Sub(t.start)
	switch {
	case t.done >= t.total:
		text += fmt.Sprintf("  %7s", short(taken))
	case t.first >= 0 && t.done > t.first:
		left := time.Duration(float64(taken) / float64(t.done-t.first) * float64(t.total-t.done))
		text += fmt.Sprintf("  %7s", short(left)+" left")
	}
	if t.metrics != "" {
		text += "  " + t.metrics
	}
	return cutColumns(text, width-3)
}

// short is a duration as a bar has room for: 4s, 3m20s, 2h5m.
func short(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%dm", s/3600, s/60%60)
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
