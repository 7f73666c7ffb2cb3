package launch

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestLogBudget: a burst passes, a flood is cut to its rate and says so, and what nobody
// sees unasked is not counted.
func TestLogBudget(t *testing.T) {
	now := time.Unix(0, 0)
	b := newLogBudget(now)
	passed := func(n int, level hclog.Level) (lines int, said string) {
		for range n {
			ok, before := b.take(level, now)
			if ok {
				lines++
			}
			if before != "" {
				said = before
			}
		}
		return lines, said
	}
	if n, _ := passed(10_000, hclog.Debug); n != 10_000 {
		t.Errorf("%d lines of debug", n)
	}
	if n, said := passed(10_000, hclog.Error); n != logBurst || said != "" {
		t.Errorf("%d lines, %q", n, said)
	}
	now = now.Add(time.Second)
	if n, said := passed(100, hclog.Info); n != logRate || said != "9800 lines are left out here: it logs more than 20 a second" {
		t.Errorf("%d lines, %q", n, said)
	}
	now = now.Add(time.Hour)
	if n, _ := passed(10_000, hclog.Warn); n != logBurst {
		t.Errorf("%d lines after an hour", n)
	}
}
