package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// blocked starts a detection into out whose input does not end before the
// returned writer is closed, and waits until it writes beside out.
func (w *world) blocked(out string) (*program, io.WriteCloser) {
	w.t.Helper()
	before := w.temporary()
	p := w.command("detect", "guard", "--data", "-", "--out", out)
	stdin, err := p.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	w.begin(p)
	for end := time.Now().Add(patience); !slices.ContainsFunc(w.temporary(), func(name string) bool { return !slices.Contains(before, name) }); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("no temporary file is made; stderr:\n%s", p.stderr.String())
		}
	}
	return p, stdin
}

// temporary are the temporary files of the world's folder.
func (w *world) temporary() []string {
	found, err := filepath.Glob(w.path(".tmp-*"))
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// TestTemporarySwept kills a detection that writes a file: the next one that
// writes there removes what it left, and leaves alone what a living one writes.
func TestTemporarySwept(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "rows.jsonl": manyRows(20)})
	w.must(0, "train", "chaos.yaml", "--out", "guard", "--quiet")
	dead, _ := w.blocked("out.jsonl")
	_ = dead.Process.Kill()
	_ = dead.code(t)
	left := w.temporary()
	if len(left) != 1 {
		t.Fatalf("the killed one left %v, want one file", left)
	}
	living, stdin := w.blocked("out.jsonl")
	if got := w.temporary(); len(got) != 1 || got[0] == left[0] {
		t.Fatalf("while the next one writes there are %v; %v should have gone", got, left)
	}
	w.must(0, "detect", "guard", "--data", "rows.jsonl", "--format", "jsonl", "--out", "out.jsonl")
	if got := w.temporary(); len(got) != 1 {
		t.Fatalf("a third one took what the living one writes: %v", got)
	}
	if _, err := io.WriteString(stdin, manyRows(1)); err != nil {
		t.Fatal(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if code := living.code(t); code != 0 {
		t.Fatalf("exit code %d; stderr:\n%s", code, living.stderr.String())
	}
	text, err := os.ReadFile(w.path("out.jsonl"))
	if err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("its results are %q, %v", text, err)
	}
	if got := w.temporary(); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

// TestWorkSwept kills a command that trains a classifier for its own use: the
// next start removes the folder in which it did.
func TestWorkSwept(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	spec := strings.Replace(chaosSpec, "train: {epochs: 6, ", "train: {epochs: 100000, ", 1)
	w := newWorld(t, map[string]string{"long.yaml": spec, "chaos.yaml": chaosSpec})
	p := w.start("attack", "long.yaml", "--attack", "fgsm", "--out", "adv.npz")
	for end := time.Now().Add(patience); len(w.plugins(p)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no plugin is started; stderr:\n%s", p.stderr.String())
		}
	}
	_ = syscall.Kill(p.Process.Pid, syscall.SIGKILL)
	_ = p.code(t)
	if !w.gone() {
		t.Error("processes are left")
	}
	if len(w.sockets()) == 0 {
		t.Error("nothing is left: it was not killed at work")
	}
	w.must(0, "train", "chaos.yaml", "--out", "guard", "--quiet")
	if left, _ := filepath.Glob(w.path("tmp", "*", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if left, _ := filepath.Glob(w.path("tmp", "*")); len(left) > 1 {
		t.Errorf("left: %v", left)
	}
}
