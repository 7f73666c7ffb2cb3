package main

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDetectOutlastsItsClassifier kills the plugin of a live detection that allows
// no restart: the row is reported as one to be sent again, and later ones are judged.
func TestDetectOutlastsItsClassifier(t *testing.T) {
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "rows.jsonl": manyRows(1)})
	w.must(0, "train", "chaos.yaml", "--out", "guard", "--quiet")
	p := w.command("detect", "guard", "--data", "-", "--format", "jsonl", "--on-error", "skip", "--classifier", "restarts=0")
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	p.Stdout = writer
	w.begin(p)
	out := bufio.NewScanner(reader)
	row := manyRows(1)
	type answer struct {
		Index       int
		Adversarial *int `json:"is_adversarial"`
		Error       string
		Retry       bool
	}
	ask := func() (a answer) {
		t.Helper()
		if _, err := io.WriteString(in, row); err != nil {
			t.Fatal(err)
		}
		if !out.Scan() {
			t.Fatalf("it ended; stderr:\n%s", p.stderr.String())
		}
		if err := json.Unmarshal(out.Bytes(), &a); err != nil {
			t.Fatalf("%s: %v", out.Text(), err)
		}
		return a
	}
	if a := ask(); a.Adversarial == nil {
		t.Fatalf("before: %+v", a)
	}
	for range 3 {
		for _, one := range w.processes() {
			if one.pid != p.Process.Pid {
				_ = syscall.Kill(one.pid, syscall.SIGKILL)
			}
		}
		if a := ask(); a.Adversarial != nil || !a.Retry || !strings.Contains(a.Error, "it crashed") && !strings.Contains(a.Error, "it exited while idle") {
			t.Errorf("killed: %+v", a)
		}
		end := time.Now().Add(patience)
		for a := ask(); a.Adversarial == nil; a = ask() {
			if !a.Retry || time.Now().After(end) {
				t.Fatalf("it did not come back: %+v", a)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d; stderr:\n%s", code, p.stderr.String())
	}
}
