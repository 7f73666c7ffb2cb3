package launch

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// logBurst lines of a plugin are logged at once, then logRate a second: whoever
	// wants to read the rest looks at levels below info, which are not bounded.
	logBurst = 200
	logRate  = 20
)

// logBudget bounds what one plugin's process logs at the levels that are shown unasked:
// a plugin chooses its levels, and may write without end.
type logBudget struct {
	mu    sync.Mutex
	lines float64 // that may be logged now
	last  time.Time
	out   int // left out since the last that was logged
}

func newLogBudget(now time.Time) *logBudget { return &logBudget{lines: logBurst, last: now} }

// take reports whether a line may be logged, and what to log before it: "" is nothing.
func (b *logBudget) take(level hclog.Level, now time.Time) (ok bool, before string) {
	if level < hclog.Info {
		return true, ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = min(logBurst, b.lines+logRate*now.Sub(b.last).Seconds())
	b.last = now
	if b.lines < 1 {
		b.out++
		return false, ""
	}
	b.lines--
	if b.out > 0 {
		before = fmt.Sprintf("%d lines are left out here: it logs more than %d a second", b.out, logRate)
		b.out = 0
	}
	return true, before
}
