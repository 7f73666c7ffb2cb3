package launch

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
)

// settler makes a rogue well-behaved: it counts its calls from far below.
func settler(t *testing.T, config sdk.Config) func() {
	t.Helper()
	var fields struct {
		Count string `json:"count"`
	}
	if err := json.Unmarshal(config.JSON, &fields); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(fields.Count, []byte("-1000000"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A plugin that is away makes calls fail, soon, and comes back by itself.
func TestComesBack(t *testing.T) {
	config := rogueConfig(t, "exit", 1, `, "every": true`)
	settle := settler(t, config)
	c := start(t, "rogue", Options{Checks: ChecksOff, Config: config, RestartBudget: 1, Backoff: 200 * time.Millisecond})
	x := random(1, 1, 4, 3, 2)
	for range 3 {
		if _, err := c.Predict(t.Context(), x); !errors.Is(err, sdk.Unavailable) || !strings.Contains(err.Error(), "gave up after 1 restarts") {
			t.Fatalf("while it is away: %v", err)
		}
	}
	// Between two tries a call fails at once: no process is started for it.
	r := c.replicas[0]
	r.mu.Lock()
	again, barred := r.again, r.barred
	r.again = time.Now().Add(time.Hour)
	r.mu.Unlock()
	if _, err := c.Predict(t.Context(), x); barred == nil || !errors.Is(err, barred) {
		t.Errorf("between two tries: %v, want %v", err, barred)
	}
	r.mu.Lock()
	r.again = again
	r.mu.Unlock()
	settle()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := c.Predict(t.Context(), x); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("it did not come back: %v", err)
		}
	}
	if n := c.Restarts(); n < 2 {
		t.Errorf("%d restarts, want 2 at least", n)
	}
}

// Callers with less time than a start takes have one in the end.
func TestStartOutlivesItsCallers(t *testing.T) {
	c := start(t, "fake", Options{Checks: ChecksOff})
	x := random(1, 1, 4, 3, 2)
	r := c.replicas[0]
	r.lost(r.current(), errors.New("killed by the test"))
	for end := time.Now().Add(time.Minute); r.current() == nil; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := c.Predict(ctx, x)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if _, err := c.Predict(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if n := c.Restarts(); n != 1 {
		t.Errorf("%d restarts, want 1", n)
	}
}

// A process that hangs is found out though no caller waits for as long as a call
// may take.
func TestHangsForShortCallers(t *testing.T) {
	t.Parallel()
	config := rogueConfig(t, "hang", 1, `, "every": true`)
	settle := settler(t, config)
	c := start(t, "rogue", Options{Checks: ChecksOff, Config: config, CallTimeout: 2 * time.Second})
	x := random(1, 1, 4, 3, 2)
	brief := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := c.Predict(ctx, x)
		return err
	}
	for end := time.Now().Add(time.Minute); c.replicas[0].current() != nil; {
		if err := brief(); !errors.Is(err, context.DeadlineExceeded) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	settle()
	if _, err := c.Predict(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if n := c.Restarts(); n != 1 {
		t.Errorf("%d restarts, want 1", n)
	}
}
