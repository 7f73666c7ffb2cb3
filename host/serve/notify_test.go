package serve_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// manager is systemd's side of a server's notifications.
type manager struct {
	t     *testing.T
	heard chan string
}

func newManager(t *testing.T, dir, watchdog string) *manager {
	t.Helper()
	at := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	m := &manager{t: t, heard: make(chan string, 1000)}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			m.heard <- string(b[:n])
		}
	}()
	t.Setenv("NOTIFY_SOCKET", at)
	t.Setenv("WATCHDOG_USEC", watchdog)
	return m
}

// until waits for a notification, and gives those before it.
func (m *manager) until(what string) (before []string) {
	m.t.Helper()
	for {
		select {
		case text := <-m.heard:
			if strings.HasPrefix(text, what) {
				return before
			}
			before = append(before, text)
		case <-time.After(time.Minute):
			m.t.Fatalf("nobody hears %s", what)
		}
	}
}

// A model that takes long to open, and a classifier that is away meanwhile, are no reason for the watchdog; a lock that
// nobody gives back is one.
func TestWatchdog(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	m := newManager(t, dir, "100000")
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\n")
	m.until("READY=1")
	loaded, err := s.Models().Loading(t.Context(), "small")
	if err != nil {
		t.Fatal(err)
	}
	defer loaded()
	w.Control(t, servetest.Away)
	s.post("/judge/small", body(1, 1)) // from now on the server tries to open what is not ready
	await(t, "unready", func() bool { ok, _ := s.Ready(); return !ok })
	for range 40 {
		m.until("WATCHDOG=1")
	}
	w.Control(t, servetest.Works)

	unlock := s.Models().Lock()
	for quiet := false; !quiet; { // one may be on its way
		select {
		case <-m.heard:
		case <-time.After(time.Second):
			quiet = true
		}
	}
	select {
	case text := <-m.heard:
		t.Errorf("a server that answers nobody says %s", text)
	case <-time.After(500 * time.Millisecond):
	}
	unlock()
	m.until("WATCHDOG=1")
}

// READY is said once the models are, whatever is reloaded before; and after each reload from then on.
func TestReadyIsNotSaidByReloads(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	w.Control(t, servetest.Away)
	m := newManager(t, dir, "100000")
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\n")
	for range 2 {
		if err := s.Reload(t.Context()); err == nil {
			t.Error("a classifier that is away is there")
		}
	}
	for range 2 {
		for _, text := range m.until("WATCHDOG=1") {
			if strings.HasPrefix(text, "READY=1") || strings.HasPrefix(text, "RELOADING=1") {
				t.Errorf("a server that is starting says %q", text)
			}
		}
	}
	w.Control(t, servetest.Works)
	m.until("READY=1")
	if ok, why := s.Ready(); !ok {
		t.Error(why)
	}
	if err := s.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if before := m.until("RELOADING=1"); len(before) > 100 {
		t.Error(before)
	}
	m.until("READY=1")
}
