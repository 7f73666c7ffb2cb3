package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// world is a folder in which the program runs, with sockets of its own and a
// mark by which all of its processes are found.
type world struct {
	t    *testing.T
	dir  string
	mark string
	env  []string // further variables
}

// markName is let through to plugins with the rest of the locale.
const markName = "LC_VAEGUARD_TEST"

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "vgt") // short: sockets lie under it
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, mark: filepath.Base(dir)}
	t.Cleanup(func() {
		for _, p := range w.processes() {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		_ = os.RemoveAll(dir)
	})
	for name, text := range files {
		if err := os.WriteFile(w.path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(w.path("tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) path(name ...string) string {
	return filepath.Join(append([]string{w.dir}, name...)...)
}

// program is one run of vaeguard.
type program struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan error
}

func (w *world) command(args ...string) *program {
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	p := &program{Cmd: exec.Command(exe, args...), ended: make(chan error, 1)}
	p.Dir = w.dir
	p.Env = append(os.Environ(), asProgram+"=1", markName+"="+w.mark, "TMPDIR="+w.path("tmp"), "NO_COLOR=1")
	p.Env = append(p.Env, w.env...)
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p
}

// start starts the program; its end is told on ended.
func (w *world) start(args ...string) *program {
	w.t.Helper()
	p := w.command(args...)
	w.begin(p)
	return p
}

func (w *world) begin(p *program) {
	w.t.Helper()
	if err := p.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.ended <- p.Cmd.Wait() }()
}

// code waits for the end and gives the exit code, -1 for a signal.
func (p *program) code(t *testing.T) int {
	t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
		var e *exec.ExitError
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		return p.ProcessState.ExitCode()
	case <-time.After(10 * time.Minute):
		_ = p.Process.Kill()
		t.Fatalf("%v hangs; stderr:\n%s", p.Args[1:], p.stderr.String())
		return -1
	}
}

// must runs the program to its end, which must have the given code.
func (w *world) must(want int, args ...string) *program {
	w.t.Helper()
	p := w.start(args...)
	if got := p.code(w.t); got != want {
		w.t.Fatalf("vaeguard %s: exit code %d, want %d; stderr:\n%s", strings.Join(args, " "), got, want, p.stderr.String())
	}
	return p
}

// running is one living process of a world.
type running struct{ pid, parent int }

// processes are the living processes that carry the mark.
func (w *world) processes() []running {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []running
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), markName+"="+w.mark) {
			continue // a zombie has no environment left
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		var state string
		r := running{pid: pid}
		if _, err := fmt.Sscan(string(rest), &state, &r.parent); err == nil && state != "Z" && state != "X" {
			out = append(out, r)
		}
	}
	return out
}

// plugins are the plugins that p started: the children of its supervisors.
func (w *world) plugins(p *program) []int {
	var out []int
	all := w.processes()
	for _, r := range all {
		if slices.Contains(all, running{r.parent, p.Process.Pid}) {
			out = append(out, r.pid)
		}
	}
	return out
}

// patience is how long a test waits for what must come, however busy the machine is.
const patience = 2 * time.Minute

// gone waits until no process of the world is left, and reports whether there is none.
func (w *world) gone() bool {
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		late := time.Now().After(end) // before the look, which takes its time
		if len(w.processes()) == 0 {
			return true
		}
		if late {
			return false
		}
	}
}

// sockets are the files that are left of the plugins' sockets.
func (w *world) sockets() []string {
	left, err := filepath.Glob(w.path("tmp", "vaeguard-*", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	return left
}

// sums are the digests of files, in order.
func (w *world) sums(names ...string) []string {
	w.t.Helper()
	var out []string
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%x", sha256.Sum256(b)))
	}
	return out
}
