package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/cli"
)

// TestServeDemo trains the demo's detector, reads its page as a browser does until
// something was flagged, and ends it by Ctrl-C. A second start trains nothing.
func TestServeDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for half a minute, minutes under the race detector")
	}
	w := newWorld(t, nil)
	page := regexp.MustCompile(`page (http://\S+/)\n`)
	for _, again := range []bool{false, true} {
		p := w.onTerminal(t, "serve", "demo", "--cache", "cache", "--http", "off", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0")
		p.await("phase=\"clean rows\"")
		if strings.Contains(p.text(), "detector epoch") && again {
			t.Errorf("it trains again:\n%s", p.text())
		}
		at := page.FindStringSubmatch(p.text())
		if at == nil {
			t.Fatalf("it does not say where its page is:\n%s", p.text())
		}
		if rows, flagged := live(t, at[1]); !again && (rows < 20 || flagged == 0) {
			t.Errorf("%d rows, %d flagged", rows, flagged)
		}
		p.interrupt(syscall.SIGINT)
		if code, _ := p.end(); code != cli.ExitDone || strings.Contains(p.text(), "interrupted") || strings.Contains(p.text(), "[ERROR]") {
			t.Errorf("exit code %d:\n%s", code, p.text())
		}
		w.settled(t, "", true)
	}
}

// live reads a page's events, until 20 rows were judged and one
// was flagged.
func live(t *testing.T, page string) (rows, flagged int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if rows, flagged = once(t, page); rows >= 20 && flagged > 0 {
			break
		}
	}
	return rows, flagged
}

// once reads the first event of a page.
func once(t *testing.T, page string) (rows, flagged int) {
	t.Helper()
	r, err := http.Get(page + "live") //nolint:noctx,gosec // the test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var event [6]byte // "data: "
	if _, err := r.Body.Read(event[:]); err != nil {
		t.Fatal(err)
	}
	var views []struct{ Rows, Flagged int }
	if err := json.NewDecoder(r.Body).Decode(&views); err != nil {
		t.Fatalf("after %q: %v", event, err)
	}
	if len(views) == 0 {
		return 0, 0
	}
	return views[0].Rows, views[0].Flagged
}
