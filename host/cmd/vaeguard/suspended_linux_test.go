package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHostSuspended stops a run, as Ctrl-Z does, for longer than its plugin may take for a
// call, and lets it go on: time in which the host did not run is not the plugin's, and the
// bits are the same.
func TestHostSuspended(t *testing.T) {
	if testing.Short() {
		t.Skip("stops a run for seconds")
	}
	w := slowWorld(t)
	want := w.sums(w.path("guard", "weights.safetensors"), w.path("guard", "calibration.npy"))
	p := w.start("train", "slow.yaml", "--out", "stopped", "--quiet", "--set", "classifier.config.pause_ms=300", "--set", "classifier.timeout=4", "--set", "classifier.restarts=0")
	stops := 0
	r := rand.New(rand.NewPCG(7, 8))
	for ended := false; !ended && stops < 2; {
		select {
		case err := <-p.ended:
			p.ended <- err
			ended = true
		case <-time.After(time.Duration(600+r.IntN(300)) * time.Millisecond): // at work, and as a rule in a call
			if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
				continue
			}
			stops++
			time.Sleep(6 * time.Second)
			if err := p.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code := p.code(t); code != 0 || stops == 0 {
		t.Fatalf("exit code %d after %d stops; stderr:\n%s", code, stops, p.stderr.String())
	}
	if got := w.sums(w.path("stopped", "weights.safetensors"), w.path("stopped", "calibration.npy")); !slices.Equal(got, want) {
		t.Errorf("results differ: %v, want %v", got, want)
	}
	// A host that is stopped can be killed, and leaves nothing.
	p = w.start("run", "slow.yaml", "--out", "killed", "--quiet", "--set", "classifier.config.pause_ms=300")
	for end := time.Now().Add(patience); len(w.plugins(p)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no plugin")
		}
	}
	_ = p.Process.Signal(syscall.SIGSTOP)
	_ = p.Process.Kill()
	_ = p.code(t)
	if !w.gone() {
		t.Errorf("left: %v", w.processes())
	}
}

// TestGridKilled kills a grid at random moments: what resumes has the same results to the byte.
func TestGridKilled(t *testing.T) {
	n := kills(t, 3)
	const grid = `api_version: vaeguard/v1
kind: Grid
name: killed
seeds: [1, 2]
default: plain
bootstrap: 40
sets:
  - {name: digits, spec: chaos.yaml, set: {train.epochs: 3, classifier.train.epochs: 2}}
detectors:
  - {name: plain}
  - {name: hard, set: {train.harden: {eps: 0.15}}}
attacks:
  - {id: fgsm, attack: {fgsm: {eps: 0.15}}, limit: 40}
  - {id: joint, attack: {joint: {eps: 0.15, steps: 3}}, limit: 20}
`
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "grid.yaml": grid})
	began := time.Now()
	w.must(0, "grid", "grid.yaml", "--out", "calm", "--quiet")
	took := time.Since(began)
	want := w.sums(w.path("calm", "results.json"))
	r := rand.New(rand.NewPCG(9, 10))
	killed := 0
	for round := 0; killed < n; round++ {
		out := filepath.Join("g" + string(rune('a'+round%26)))
		_ = os.RemoveAll(w.path(out))
		for killed < n {
			p := w.start("grid", "grid.yaml", "--out", out, "--quiet")
			over := false
			select {
			case err := <-p.ended:
				p.ended <- err
				over = true
			case <-time.After(time.Duration(r.Float64() * float64(took))):
				_ = p.Process.Kill()
				killed++
			}
			_ = p.code(t)
			if !w.gone() {
				t.Fatalf("kill %d: left: %v", killed, w.processes())
			}
			if over {
				break
			}
		}
		w.must(0, "grid", "grid.yaml", "--out", out, "--quiet")
		if got := w.sums(w.path(out, "results.json")); !slices.Equal(got, want) {
			t.Fatalf("after %d kills the results differ:\n%s", killed, firstDifference(w.path(out, "results.json"), w.path("calm", "results.json")))
		}
		if left := hidden(w.path(out)); len(left) > 0 {
			t.Errorf("temporary files are left: %v", left)
		}
	}
	t.Logf("%d kills within %v", killed, took)
}

// firstDifference is the first line in which two files differ, with those before it.
func firstDifference(a, b string) string {
	x, _ := os.ReadFile(a)
	y, _ := os.ReadFile(b)
	lines, others := strings.Split(string(x), "\n"), strings.Split(string(y), "\n")
	for i, l := range lines {
		if i >= len(others) || l != others[i] {
			return strings.Join(lines[max(0, i-3):min(len(lines), i+2)], "\n") + "\nand\n" + strings.Join(others[max(0, min(i, len(others))-1):min(len(others), i+2)], "\n")
		}
	}
	return "the one is the beginning of the other"
}

// noRoom are what a system says of a folder that may not be written.
var noRoom = []string{"read-only file system", "permission denied"}

// TestReadOnlyFolders: a detector is read where nothing can be written, and whatever would be
// written there is an error that says so, and changes nothing.
func TestReadOnlyFolders(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program many times")
	}
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "rows.jsonl": manyRows(300)})
	w.disk(32 << 20)
	out := filepath.Join("disk", "run")
	w.must(0, "run", "chaos.yaml", "--out", out, "--quiet")
	detect := []string{"detect", out, "--data", "rows.jsonl", "--format", "jsonl"}
	want := w.must(0, detect...).stdout.String()
	for _, name := range []string{"tmp", "state"} {
		if err := os.MkdirAll(w.path("disk", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("", w.path("disk"), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	before := w.results(out)
	if got := w.must(0, detect...).stdout.String(); got != want {
		t.Error("results differ where the detector cannot be written")
	}
	w.must(0, "inspect", out)
	w.must(0, "pack", out, "--out", "packed.vg")
	if got := w.must(0, "detect", "packed.vg", "--data", "rows.jsonl", "--format", "jsonl").stdout.String(); got != want {
		t.Error("results of the pack differ")
	}
	for _, args := range [][]string{
		{"run", "chaos.yaml", "--out", filepath.Join("disk", "other"), "--quiet"},
		{"train", "chaos.yaml", "--out", filepath.Join("disk", "guard"), "--quiet"},
		{"calibrate", out, "--data", "rows.jsonl", "--fpr", "0.1"},
		{"evaluate", out, "--out", filepath.Join("disk", "report"), "--quiet"},
		{"attack", out, "--attack", "noise", "--out", filepath.Join("disk", "adv.npz"), "--quiet"},
		{"detect", out, "--data", "rows.jsonl", "--out", filepath.Join("disk", "r.jsonl")},
		{"pack", out, "--out", filepath.Join("disk", "p.vg")},
		{"plugin", "lock", "mlp", "--file", filepath.Join("disk", "vaeguard.lock")},
	} {
		p := w.start(args...)
		code, text := p.code(t), p.stderr.String()
		if code != 1 || !slices.ContainsFunc(noRoom, func(s string) bool { return strings.Contains(text, s) }) || strings.Count(text, "\n") > 3 {
			t.Errorf("%v: exit code %d, want 1 and the cause; stderr:\n%s", args, code, text)
		}
	}
	if after := w.results(out); !slices.Equal(before, after) {
		t.Error("the detector changed")
	}
	// Neither a temporary folder nor a list of what is allowed can be written.
	w.env = []string{"TMPDIR=" + w.path("disk", "tmp"), "XDG_STATE_HOME=" + w.path("disk", "state")}
	p := w.start(detect...)
	if code, text := p.code(t), p.stderr.String(); code == 0 || !slices.ContainsFunc(noRoom, func(s string) bool { return strings.Contains(text, s) }) {
		t.Errorf("without a temporary folder: exit code %d; stderr:\n%s", code, text)
	}
	w.env = []string{"XDG_STATE_HOME=" + w.path("disk", "state")}
	w.must(0, "run", "chaos.yaml", "--out", "unlisted", "--quiet")
	if !w.gone() {
		t.Errorf("left: %v", w.processes())
	}
}
