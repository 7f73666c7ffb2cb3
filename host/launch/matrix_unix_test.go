//go:build unix

package launch

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var stopSignal = syscall.SIGSTOP

// hangUp ends all connections of this process.
func hangUp() {
	for fd := 3; fd < 64; fd++ {
		_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
	}
}

// TestKilledAtTheStart has a plugin end by a signal while it is configured,
// some time after its connection: it is started again.
func TestKilledAtTheStart(t *testing.T) {
	t.Parallel()
	c := start(t, "rogue", Options{Checks: ChecksOff, Config: rogueConfig(t, "fade", 1, ""), Backoff: time.Millisecond})
	if _, err := c.Predict(t.Context(), random(1, 2, 4, 3, 2)); err != nil {
		t.Error(err)
	}
}

// TestKilledBeforeTheHandshake has a plugin end by a signal some time after
// its stdout: its end is told as its own.
func TestKilledBeforeTheHandshake(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Command: act("dwindle"), Checks: ChecksOff, RestartBudget: 1, Backoff: time.Millisecond})
	var e *Error
	if !errors.As(err, &e) || e.Exit != "signal: killed" || !strings.Contains(err.Error(), "after 1 restart") {
		t.Errorf("%v", err)
	}
}

// TestScriptFaults starts files that are programs by their mode alone.
func TestScriptFaults(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"windows", "#!/bin/sh\r\necho\r\n", `names "/bin/sh\r", which does not exist: the script has Windows line endings`},
		{"interpreter", "#! /no/such/interpreter -x\n", `names "/no/such/interpreter", which does not exist`},
		{"text", "hello\n", "it is neither a program for "},
		{"empty", "", "it is neither a program for "},
		{"cut", "\x7fELF", "it is neither a program for "},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), Options{Command: Command{Path: path}})
		var e *Error
		if !errors.As(err, &e) || e.Op != "start" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// ended waits until a process has ended.
func ended(t *testing.T, what string, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); running(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s, process %d, lives", what, pid)
		}
	}
}

// TestMisbehaviour has a plugin misbehave at its second call, once: what the
// caller hears, that the third call is answered, and that nothing is left.
func TestMisbehaviour(t *testing.T) {
	for _, c := range []struct {
		act     string
		want    string // of the second call's error; "": it succeeds
		restart bool   // in a new process
	}{
		{"exit", "", true}, // replayed
		{"panic", "the classifier panicked: at the disco", false},
		{"hang", "no answer within 3s, so it was killed", true},
		{"stop", "no answer within 3s, so it was killed", true},
		{"slow", "", false},
		{"nan", "NaN", false},
		{"stdout", "", false},
		{"forkexit", "", true},
		{"forkhang", "no answer within 3s, so it was killed", true},
	} {
		t.Run(c.act, func(t *testing.T) {
			t.Parallel()
			conf := rogueConfig(t, c.act, 2, "")
			o := Options{Checks: ChecksOff, Config: conf, Backoff: time.Millisecond, CallTimeout: time.Minute}
			if strings.Contains(c.want, "within 3s") {
				o.CallTimeout = 3 * time.Second
			}
			p := start(t, "rogue", o)
			first := p.replicas[0].current()
			x := random(1, 2, 4, 3, 2)
			want, _, _ := local(t, fake(), x, random(2, 2, 5), nil)
			for call := 1; call <= 3; call++ {
				y, err := p.Predict(t.Context(), x)
				if call == 2 && c.want != "" {
					var e *Error
					if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
						t.Errorf("call 2: %v, want %q", err, c.want)
					}
					continue
				}
				if err != nil {
					t.Fatalf("call %d: %v", call, err)
				}
				same(t, "predict", y, want)
			}
			last := p.replicas[0].current()
			if (first != last) != c.restart {
				t.Errorf("restarted: %v, want %v", first != last, c.restart)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			ended(t, "the first process", first.run.proc.pid())
			ended(t, "the last process", last.run.proc.pid())
			var r rogue
			if err := json.Unmarshal(conf.JSON, &r); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(c.act, "fork") {
				pid, err := os.ReadFile(r.Count + ".child")
				if err != nil || len(pid) == 0 {
					t.Fatalf("it forked no child: %v", err)
				}
				for end := time.Now().Add(time.Minute); alive(t, string(pid)); time.Sleep(5 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatal("its child lives")
					}
				}
			}
			for _, path := range []string{p.sockets.path, p.sockets.path + lockSuffix} {
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left: %v", filepath.Base(path), err)
				}
			}
		})
	}
}

// TestIdlePluginIsWatched stops a plugin, and kills one, that have nothing to
// do: the watch notices before anybody calls.
func TestIdlePluginIsWatched(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			c := start(t, "fake", Options{Checks: ChecksOff, HealthEvery: 50 * time.Millisecond, HealthTimeout: 2 * time.Second})
			p := c.replicas[0].current()
			if err := syscall.Kill(p.run.proc.pid(), signal); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(time.Minute); c.replicas[0].current() == p; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("nobody noticed")
				}
			}
			ended(t, "the plugin", p.run.proc.pid())
			if err := c.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "it is not running") {
				t.Errorf("ping: %v", err)
			}
			x := random(1, 2, 4, 3, 2)
			want, _, _ := local(t, fake(), x, random(2, 2, 5), nil)
			y, err := c.Predict(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "predict", y, want)
		})
	}
}
