package judge

import (
	"testing"
	"time"
)

// Who is not known has no share that others use up: events have no client.
func TestNobodyIsNotLimited(t *testing.T) {
	c, now := newClients(1), time.Now()
	for range 3 {
		if err := c.empty(now, ""); err != nil {
			t.Error(err)
		}
		if err := c.take(now, "", 5); err != nil {
			t.Error(err)
		}
	}
	if err := c.take(now, "a", 1); err != nil {
		t.Error(err)
	}
	if err := c.take(now, "a", 1); err == nil {
		t.Error("a client has no limit")
	}
}
