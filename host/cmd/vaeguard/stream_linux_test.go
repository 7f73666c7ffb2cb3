package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tinySpec has a model so small that the stream is all the work.
const tinySpec = `api_version: vaeguard/v1
kind: Experiment
name: tiny
seed: 7
data:
  train:       {dataset: iris, split: train}
  calibration: {dataset: iris, split: calibration}
classifier:
  plugin: mlp
  config: {hidden: [8]}
  train: {epochs: 5, batch_size: 32}
  checks: "off"
vae:
  latent_dim: 2
  encoder:
    - dense: {units: 8, activation: relu}
  decoder:
    - dense: {units: 4}
detector: {samples: 1, data_type: tabular}
train: {epochs: 2, batch_size: 32}
threshold: {fpr: 0.1}
`

// TestStream sends VAEGUARD_STREAM instances, or a few, one of them bad,
// through detect and wants each back once, in order, in constant memory.
func TestStream(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("VAEGUARD_STREAM"))
	if err != nil {
		n = 20000
		if testing.Short() {
			n = 2000
		}
	}
	w := newWorld(t, map[string]string{"tiny.yaml": tinySpec})
	w.must(0, "train", "tiny.yaml", "--out", "tiny", "--quiet")
	bad := n / 4 * 3
	p := w.command("detect", "tiny", "--data", "-", "--on-error", "skip")
	in, out := io.Pipe()
	results, written := io.Pipe()
	p.Stdin, p.Cmd.Stdout = in, written
	began := time.Now()
	w.begin(p)
	go func() {
		b := bufio.NewWriterSize(out, 1<<16)
		for i := range n {
			if i == bad {
				_, _ = b.WriteString("[5.1, \"x\", 1.4, 0.2]\n")
				continue
			}
			_, _ = fmt.Fprintf(b, "[%d.%d,%d.%d,1.4,0.2]\n", 4+i%4, i%10, 2+i%3, i%7)
		}
		_ = b.Flush() // a dead reader shows in the count
		_ = out.Close()
	}()
	early, late := 0, 0 // KiB in use after a tenth, and at the end
	read, faults := 0, 0
	lines := bufio.NewScanner(results)
	for read < n && lines.Scan() {
		line := lines.Bytes()
		if !bytes.HasPrefix(line, []byte(`{"index":`+strconv.Itoa(read)+`,`)) {
			t.Fatalf("line %d: %s", read, line)
		}
		if bytes.Contains(line, []byte(`"error"`)) {
			if faults++; read != bad {
				t.Errorf("line %d, want %d: %s", read, bad, line)
			}
		} else if !bytes.Contains(line, []byte(`"is_adversarial":`)) || bytes.Contains(line, []byte(`"instance_score":null`)) {
			t.Fatalf("line %d: %s", read, line)
		}
		read++
		switch read {
		case n / 10:
			early = resident(t, p.Process.Pid)
		case n - 1000:
			late = resident(t, p.Process.Pid)
		}
	}
	if code := p.code(t); code != 0 || read != n || faults != 1 {
		t.Fatalf("exit code %d, %d of %d rows, %d faults; stderr:\n%s", code, read, n, faults, p.stderr.String())
	}
	took := time.Since(began)
	t.Logf("%d rows in %v, %.0f a second; %d KiB resident after a tenth, %d at the end", n, took, float64(n)/took.Seconds(), early, late)
	const slack = 32 << 10 // of the garbage collector's pace
	if late > early+slack {
		t.Errorf("%d KiB resident at the end, %d after a tenth", late, early)
	}
	p = w.command("detect", "tiny", "--data", "-")
	p.Stdin = strings.NewReader("[5,3,1,0]\n[5,3,1]\n[5,3,1,0]\n")
	w.begin(p)
	if code := p.code(t); code != 1 || !strings.Contains(p.stderr.String(), "row 1: ") || !strings.HasPrefix(p.stdout.String(), `{"index":0,`) {
		t.Errorf("--on-error fail: exit code %d, stdout %s, stderr %s", code, p.stdout.String(), p.stderr.String())
	}
}

// resident is the memory that a process has in use, in KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 10
}
