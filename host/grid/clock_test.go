package grid

import (
	"path/filepath"
	"testing"
)

// TestClock holds that the steps of a training that was killed after its last
// checkpoint are known: the last step was told before the epoch that it ended.
func TestClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elapsed.json")
	c := startClock(path)
	c.reached(101, false)
	if again := startClock(path); again.before[2] != 0 {
		t.Errorf("%v steps were saved within an epoch", again.before[2])
	}
	c.reached(102, false)
	c.reached(102, true)
	again := startClock(path)
	if again.before[2] != 102 {
		t.Errorf("%v steps, want 102", again.before[2])
	}
	again.reached(34, true) // a checkpoint of an earlier epoch
	if third := startClock(path); third.before[2] != 102 {
		t.Errorf("%v steps, want 102", third.before[2])
	}
}
