package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memoryGroup makes a control group with a limit of memory, of either version, and gives the
// file by which a process joins it.
func memoryGroup(t *testing.T, limit int64) string {
	t.Helper()
	var faults []string
	for _, g := range []struct{ root, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"},
	} {
		if _, err := os.Stat(filepath.Join(g.root, "cgroup.procs")); err != nil {
			faults = append(faults, err.Error())
			continue
		}
		dir := filepath.Join(g.root, fmt.Sprintf("vaeguard-test-%d-%d", os.Getpid(), limit))
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			t.Cleanup(func() {
				for end := time.Now().Add(10 * time.Second); syscall.Rmdir(dir) != nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				}
			})
			err = os.WriteFile(filepath.Join(dir, g.limit), []byte(strconv.FormatInt(limit, 10)), 0o644)
		}
		if err == nil {
			_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0o644)
			return filepath.Join(dir, "cgroup.procs")
		}
		faults = append(faults, err.Error())
	}
	t.Skipf("no control group can be written here: %s", strings.Join(faults, "; "))
	return ""
}

// within runs a program as a member of a control group.
func (w *world) within(group string, p *program) {
	w.t.Helper()
	p.Args = append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, group, p.Path}, p.Args[1:]...)
	p.Path = "/bin/sh"
	w.begin(p)
}

// TestMemoryGroup: in a group with little memory the kernel kills whoever has most. A plugin
// that takes all is named, with its end; a host that is killed leaves nothing, and what it had
// saved goes on to the same bits.
func TestMemoryGroup(t *testing.T) {
	if testing.Short() {
		t.Skip("runs out of memory, which the race detector does by itself")
	}
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec})
	group := memoryGroup(t, 300<<20)
	p := w.command(askZoo, greedy)
	w.within(group, p)
	if code, text := p.code(t), p.stderr.String(); code != 4 || !strings.Contains(text, "it crashed; gave up after 1 restarts; it ended with signal: killed") {
		t.Errorf("exit code %d, want 4 and the cause; stderr:\n%s", code, text)
	}
	if !w.gone() {
		t.Errorf("left: %v", w.processes())
	}
	want, _ := w.undisturbed()
	tight := memoryGroup(t, 24<<20) // less than the host needs to train
	p = w.command("run", "chaos.yaml", "--out", "tight", "--quiet")
	w.within(tight, p)
	code := p.code(t)
	if code == 0 {
		t.Error("24 MiB were enough: the test shows nothing")
	}
	if !w.gone() {
		t.Errorf("exit code %d, left: %v", code, w.processes())
	}
	w.readable("tight")
	w.must(0, "run", "chaos.yaml", "--out", "tight", "--quiet", "--resume")
	if got := w.results("tight"); !slices.Equal(got, want) {
		t.Errorf("resumed: %v, want %v", got, want)
	}
	if left := w.sockets(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
