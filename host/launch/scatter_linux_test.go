package launch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scatters is how many processes there are at least, the first one apart.
const scatters = 5

// marks numbers the scattered processes of this test.
var marks atomic.Int64

// marked are the living processes that have the mark on their command line.
func marked(t *testing.T, mark string) []string {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range found {
		line, err := os.ReadFile(name)
		if err == nil && bytes.Contains(line, []byte(mark)) && running(atoi(t, filepath.Base(filepath.Dir(name)))) {
			out = append(out, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return out
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitMarked waits for all that actScatter starts.
func awaitMarked(t *testing.T, mark string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); len(marked(t, mark)) < scatters; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it has started only %q", marked(t, mark))
		}
	}
}

// noneMarked waits until there is nothing left, and looks again a moment later: a
// process that hops may be missed once.
func noneMarked(t *testing.T, what, mark string) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for calm := 0; calm < 3; time.Sleep(2 * time.Millisecond) {
		left := marked(t, mark)
		calm++
		if len(left) > 0 {
			calm = 0
		}
		if len(left) > 0 && time.Now().After(end) {
			for _, line := range left {
				t.Errorf("%s: left: %s", what, line)
			}
			t.FailNow()
		}
	}
}

func newMark(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(".%d%04d", os.Getpid(), marks.Add(1))
}

// rounds is how often a test kills: 100 times, 5 in short runs.
func rounds() int {
	if testing.Short() {
		return 5
	}
	return 100
}

// TestNothingOutlivesAKilledHost kills hosts whose plugin uses no SDK and has scattered
// processes over sessions of their own.
func TestNothingOutlivesAKilledHost(t *testing.T) {
	temp := t.TempDir()
	for i := range rounds() {
		mark := newMark(t)
		cmd := act("scatterhost", "SCATTER="+mark, "TMPDIR="+temp)
		host := exec.Command(cmd.Path)
		host.Env = append(os.Environ(), cmd.Env...)
		out, err := host.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		pid := strings.TrimSpace(line)
		if err != nil {
			t.Fatalf("plugin %q: %v", pid, err)
		}
		if i%4 > 0 { // else while it is still about to scatter them
			awaitMarked(t, mark)
		}
		if err := host.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = host.Wait()
		noneMarked(t, fmt.Sprintf("kill %d", i), mark)
		for end := time.Now().Add(time.Minute); alive(t, pid); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("plugin %s outlives its host", pid)
			}
		}
	}
}

// TestNothingOutlivesAKilledPlugin kills the plugin alone, and lets the host end it.
func TestNothingOutlivesAKilledPlugin(t *testing.T) {
	temp := t.TempDir()
	for i := range rounds() {
		mark := newMark(t)
		r := bare(t, act("scatter", "SCATTER="+mark, "TMPDIR="+temp, "PATH="+os.Getenv("PATH")))
		awaitMarked(t, mark)
		want := "signal: killed"
		if i%2 == 0 {
			if err := unix.Kill(r.proc.pid(), unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		} else {
			want = "" // it is the host's own doing
			if err := r.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r.gone(time.Minute)
		if left := marked(t, mark); len(left) > 0 {
			t.Fatalf("kill %d: left when it is gone: %q", i, left)
		}
		if !r.dead(time.Minute) {
			t.Fatal("its end is not seen")
		}
		if i >= 4 {
			continue // the report waits for the plugin's last words
		}
		if exit, _ := r.exitReport(); exit != want {
			t.Errorf("kill %d: %q, want %q", i, exit, want)
		}
	}
}

// TestSupervisorIsKilled: the plugin goes with its supervisor, and the host knows why. A
// supervisor that is stopped obeys no order, and is killed too.
func TestSupervisorIsKilled(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGSTOP} {
		t.Run(signal.String(), func(t *testing.T) {
			r := bare(t, act("deaf"))
			s, ok := r.proc.(*supervised)
			if !ok {
				t.Fatalf("a %T", r.proc)
			}
			if err := s.supervisor.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if signal == unix.SIGSTOP {
				if err := r.Kill(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if !r.dead(time.Minute) {
				t.Fatal("its end is not seen")
			}
			if err := r.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "its supervisor ended: signal: killed") {
				t.Errorf("%v", err)
			}
			ended(t, "the plugin", r.proc.pid())
		})
	}
}

// TestDeafPluginDiesWithItsHost kills hosts that have no hook, and so no supervisor: the
// kernel kills their plugin, which does not use our SDK and does not watch its stdin.
func TestDeafPluginDiesWithItsHost(t *testing.T) {
	for range rounds() {
		cmd := act("scatterhost", "HOOK=none")
		host := exec.Command(cmd.Path)
		host.Env = append(os.Environ(), cmd.Env...)
		out, err := host.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		pid := strings.TrimSpace(line)
		if err != nil || !alive(t, pid) {
			t.Fatalf("plugin %q: %v", pid, err)
		}
		if err := host.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = host.Wait()
		for end := time.Now().Add(time.Minute); alive(t, pid); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("plugin %s outlives its host", pid)
			}
		}
	}
}

// TestWithoutASupervisor: in a program that has no hook the kernel kills the plugin with
// the host, and its group goes with it.
func TestWithoutASupervisor(t *testing.T) {
	old := linked.Swap(nil)
	defer linked.Store(old)
	r := bare(t, act("deaf"))
	if _, ok := r.proc.(direct); !ok {
		t.Fatalf("a %T", r.proc)
	}
	if err := r.Kill(t.Context()); err != nil || !r.dead(time.Minute) {
		t.Errorf("it lives: %v", err)
	}
	mark := newMark(t)
	c, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	r = bare(t, Command{Path: c, Args: []string{"-c", "sleep 1000" + mark + " & exit 7"}})
	if !r.dead(time.Minute) {
		t.Fatal("it lives")
	}
	noneMarked(t, "its group", mark)
	if exit, _ := r.exitReport(); exit != "exit status 7" {
		t.Errorf("%q", exit)
	}
}

// TestSupervisorCannotStart: what the system says to the program is what the user reads.
func TestSupervisorCannotStart(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, []byte("\x7fELF, and nothing behind it"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Command: Command{Path: odd}})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "it is neither a program for") {
		t.Errorf("%v", err)
	}
	_, err = Start(t.Context(), Options{Command: Command{Path: odd, Dir: filepath.Join(odd, "absent")}})
	if !errors.As(err, &e) || strings.Contains(err.Error(), "supervisor") {
		t.Errorf("%v", err)
	}
}
