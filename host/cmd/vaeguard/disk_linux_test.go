package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vaeguard/vaeguard/host/artifact"
)

// disk mounts a small file system at the folder disk of the world.
func (w *world) disk(size int) {
	w.t.Helper()
	at := w.path("disk")
	if err := os.Mkdir(at, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := unix.Mount("vaeguard-test", at, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		w.t.Skipf("a file system cannot be mounted here: %v", err)
	}
	w.t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
}

// fill leaves so many bytes of the disk free.
func (w *world) fill(free int64) {
	w.t.Helper()
	filler := w.path("disk", "filler")
	_ = os.Remove(filler)
	var s unix.Statfs_t
	if err := unix.Statfs(w.path("disk"), &s); err != nil {
		w.t.Fatal(err)
	}
	size := int64(s.Bfree)*s.Bsize - free
	if size <= 0 {
		return
	}
	f, err := os.Create(filler)
	if err == nil {
		err = errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, size), f.Close())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestFullDisk runs on a disk that is full, and again with a little more room
// each time, so that it ends at a checkpoint, at the detector, at the report:
// each says so and harms nothing that was saved.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program many times")
	}
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "rows.jsonl": manyRows(600)})
	w.disk(8 << 20)
	w.must(0, "run", "chaos.yaml", "--out", "calm", "--quiet")
	want := w.results("calm")
	out := filepath.Join("disk", "run")
	args := []string{"run", "chaos.yaml", "--out", out, "--quiet"}
	p := w.start(args...)
	last := []string{out, "checkpoints", "last", "state.safetensors"}
	w.await(p, last...)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 130 {
		t.Fatalf("exit code %d, want 130; stderr:\n%s", code, p.stderr.String())
	}
	args = append(args, "--resume")
	causes := map[string]bool{}
	for free := int64(0); ; free = max(8<<10, 2*free) {
		w.fill(free)
		before := w.sums(w.path(last...))
		p := w.start(args...)
		code := p.code(t)
		w.readable(out)
		if code == 0 {
			break
		}
		text := p.stderr.String()
		if code != 1 || !strings.Contains(text, "no space left on device") {
			t.Fatalf("%d bytes free: exit code %d, want 1 and the cause; stderr:\n%s", free, code, text)
		}
		for _, part := range []string{"checkpoint", "metrics.csv", "detector", "report"} {
			causes[part] = causes[part] || strings.Contains(text, part)
		}
		if free == 0 && !slices.Equal(before, w.sums(w.path(last...))) {
			t.Error("the checkpoint changed on a full disk")
		}
	}
	if got := w.results(out); !slices.Equal(got, want) {
		t.Errorf("resumed: %v, want %v", got, want)
	}
	if left := hidden(w.path(out)); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
	t.Logf("it ended at %v", causes)

	// A threshold in place, a copy of the detector, results: what is there stays.
	w.fill(0)
	saved, err := artifact.Load(w.path(out))
	if err != nil {
		t.Fatal(err)
	}
	copied, results := filepath.Join("disk", "copy"), filepath.Join("disk", "results.csv")
	for _, args := range [][]string{
		{"calibrate", out, "--data", "rows.jsonl", "--fpr", "0.1"},
		{"calibrate", out, "--data", "rows.jsonl", "--fpr", "0.1", "--out", copied},
		{"detect", out, "--data", "rows.jsonl", "--format", "csv", "--out", results},
		{"evaluate", out, "--out", filepath.Join("disk", "report"), "--quiet"},
		{"attack", out, "--attack", "noise", "--out", filepath.Join("disk", "adv.npz"), "--quiet"},
	} {
		p := w.must(1, args...)
		if !strings.Contains(p.stderr.String(), "no space left on device") {
			t.Errorf("%v: %s", args, p.stderr.String())
		}
	}
	again, err := artifact.Load(w.path(out))
	if err != nil || again.Digest != saved.Digest {
		t.Errorf("the detector has changed: %v", err)
	}
	for _, name := range []string{copied, results, filepath.Join("disk", "adv.npz")} {
		if _, err := os.Stat(w.path(name)); err == nil {
			t.Errorf("%s is there, and cannot be whole", name)
		}
	}
	if left, _ := filepath.Glob(w.path("disk", ".*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
	w.fill(1 << 20)
	w.must(0, "calibrate", out, "--data", "rows.jsonl", "--fpr", "0.1")
}
