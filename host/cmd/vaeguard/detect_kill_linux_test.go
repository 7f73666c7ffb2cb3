package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDetectEnded ends a detection at random moments, by SIGKILL, SIGINT and
// SIGTERM: nothing is left of it, its results so far are whole lines, a file
// that it should have replaced is the old one or the new one, and the detector
// is what it was.
func TestDetectEnded(t *testing.T) {
	n := kills(t, 6)
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "rows.jsonl": manyRows(8000)})
	w.must(0, "train", "chaos.yaml", "--out", "guard", "--quiet")
	detector := w.results("guard")
	args := []string{"detect", "guard", "--data", "rows.jsonl", "--format", "jsonl", "--batch", "16"}
	began := time.Now()
	whole := w.must(0, args...).stdout.String()
	took := time.Since(began)
	r := rand.New(rand.NewPCG(5, 6))
	ended := 0
	for i := range n {
		signal := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM}[i%3]
		toFile := i/3%2 == 1
		now := args
		if toFile {
			if err := os.WriteFile(w.path("out.jsonl"), []byte("old\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			now = append(now[:len(now):len(now)], "--out", "out.jsonl")
		}
		p := w.start(now...)
		select {
		case err := <-p.ended:
			p.ended <- err
		case <-time.After(time.Duration(r.Float64() * float64(took))):
			ended++
			_ = p.Process.Signal(signal)
		}
		switch code := p.code(t); {
		case code == 0: // it was quicker
		case signal == syscall.SIGKILL && code == -1:
		case signal == syscall.SIGKILL || code != 130 && code != -1: // -1: before it listened to signals
			t.Errorf("%v: exit code %d; stderr:\n%s", signal, code, p.stderr.String())
		}
		if !w.gone() {
			t.Fatalf("%v: %d processes are left", signal, len(w.processes()))
		}
		got := p.stdout.String()
		if toFile {
			text, err := os.ReadFile(w.path("out.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			if string(text) != "old\n" && string(text) != whole {
				t.Errorf("%v: the file is neither the old one nor the new one: %d bytes", signal, len(text))
			}
		} else if !strings.HasPrefix(whole, got) || signal != syscall.SIGKILL && !wholeLines(got) {
			t.Errorf("%v: what it wrote is no beginning of its results: …%q", signal, got[max(0, len(got)-80):])
		}
	}
	if after := w.results("guard"); strings.Join(after, " ") != strings.Join(detector, " ") {
		t.Error("the detector has changed")
	}
	w.must(0, append(args[:len(args):len(args)], "--out", "out.jsonl")...)
	if left := w.temporary(); len(left) > 0 {
		t.Errorf("the next one left temporary files: %v", left)
	}
	if got := w.must(0, args...).stdout.String(); got != whole {
		t.Error("its results have changed")
	}
	if left := w.sockets(); len(left) > 0 {
		t.Errorf("the next start left stale sockets: %v", left)
	}
	t.Logf("%d ends within %v", ended, took)
}

// wholeLines reports whether text is lines of JSON.
func wholeLines(text string) bool {
	for line := range bytes.Lines([]byte(text)) {
		if !bytes.HasSuffix(line, []byte("\n")) || !json.Valid(line) {
			return false
		}
	}
	return true
}
