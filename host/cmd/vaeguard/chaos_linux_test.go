package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
)

// chaosSpec trains a classifier and a guard within a second or two, with
// checkpoints within epochs and early stopping: all that a checkpoint holds.
const chaosSpec = `api_version: vaeguard/v1
kind: Experiment
name: chaos
seed: 7
data:
  train:       {dataset: digits, split: train}
  validation:  {dataset: digits, split: validation}
  calibration: {dataset: digits, split: calibration}
  test:        {dataset: digits, split: test}
classifier:
  plugin: mlp
  config: {hidden: [32], range: [0, 1]}
  train: {epochs: 6, batch_size: 32}
  checks: off
vae:
  latent_dim: 4
  encoder:
    - dense: {units: 16, activation: relu}
  decoder:
    - dense: {units: 16, activation: relu}
    - dense: {units: 64, activation: sigmoid}
detector: {samples: 3, data_type: tabular}
train:
  epochs: 6
  batch_size: 32
  checkpoint: {every: 10}
  early_stopping: {monitor: val_loss, patience: 8}
threshold: {fpr: 0.05}
attacks:
  - fgsm: {norm: linf, eps: 0.1}
`

// kills is how often a chaos test kills: few times, or VAEGUARD_CHAOS times.
func kills(t *testing.T, few int) int {
	if n, err := strconv.Atoi(os.Getenv("VAEGUARD_CHAOS")); err == nil {
		return n
	}
	if testing.Short() {
		t.Skip("kills processes")
	}
	return few
}

// results are the files that must have the same bits whatever happened, of a
// run or a detector.
func (w *world) results(dir string) []string {
	d, err := artifact.Resolve(w.path(dir))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.sums(filepath.Join(d, artifact.WeightsFile), filepath.Join(d, artifact.CalibrationFile),
		filepath.Join(d, artifact.SpecFile), filepath.Join(d, "classifier", "weights.safetensors"))
}

// undisturbed runs the spec once and gives its results and how long it took.
func (w *world) undisturbed() ([]string, time.Duration) {
	w.t.Helper()
	began := time.Now()
	w.must(0, "run", "chaos.yaml", "--out", "calm", "--quiet")
	return w.results("calm"), time.Since(began)
}

// readable holds that every file of a run, or of a detector in the making,
// that was cut short is whole or absent.
func (w *world) readable(dir string) {
	w.t.Helper()
	for _, work := range []string{dir, dir + ".partial"} {
		for _, name := range []string{"last", "best"} {
			if _, err := safetensors.Read(w.path(work, "checkpoints", name, "state.safetensors")); err != nil && !os.IsNotExist(unwrapAll(err)) {
				w.t.Errorf("checkpoint %s: %v", name, err)
			}
		}
	}
	for _, made := range []string{filepath.Join(dir, "detector"), filepath.Join(dir, artifact.MetaFile)} {
		if _, err := os.Stat(w.path(made)); err == nil {
			if _, err := artifact.Load(w.path(dir)); err != nil {
				w.t.Errorf("detector: %v", err)
			}
		}
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

// TestHostKilled kills the program at random moments of a run and of a train,
// and sometimes its resumption too.
func TestHostKilled(t *testing.T) {
	n := kills(t, 3)
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec})
	want, took := w.undisturbed()
	r := rand.New(rand.NewPCG(1, 2))
	killed, early, stale := 0, 0, 0
	for i := 0; killed < n && i < 4*n; i++ {
		verb := []string{"run", "train"}[i%2]
		run := verb + strconv.Itoa(i)
		args := []string{verb, "chaos.yaml", "--out", run, "--quiet"}
		for again := true; again && killed < n; again = r.IntN(3) == 0 {
			p := w.start(args...)
			select {
			case err := <-p.ended:
				p.ended <- err
			case <-time.After(time.Duration(r.Float64() * float64(took))):
				killed++
				_ = p.Process.Kill() // the host alone: the plugin must notice
			}
			_ = p.code(t)
			if !w.gone() {
				t.Fatalf("kill %d: %d processes are left", killed, len(w.processes()))
			}
			if len(w.sockets()) > 0 {
				stale++
			}
			w.readable(run)
			if left, _ := filepath.Glob(w.path(run + "*")); len(left) == 0 {
				early++
			}
			args = []string{verb, "chaos.yaml", "--out", run, "--quiet", "--resume"}
		}
		w.must(0, args...)
		if left := w.sockets(); len(left) > 0 {
			t.Fatalf("run %d: the next start left stale sockets: %v", i, left)
		}
		if got := w.results(run); !slices.Equal(got, want) {
			t.Fatalf("run %d: resumed results differ: %v, want %v", i, got, want)
		}
		if left := hidden(w.path(run)); len(left) > 0 {
			t.Errorf("%s %d: temporary files are left: %v", verb, i, left)
		}
		if left, _ := filepath.Glob(w.path("." + run + "*")); len(left) > 0 {
			t.Errorf("%s %d: temporary folders are left: %v", verb, i, left)
		}
		if _, err := os.Stat(w.path(run + ".partial")); err == nil {
			t.Errorf("%s %d: its work is left", verb, i)
		}
		_ = os.RemoveAll(w.path(run))
	}
	t.Logf("%d kills within %v: %d before the run's directory, %d left sockets for the next start to sweep", killed, took, early, stale)
}

// hidden are the temporary files of a run, its lock apart.
func hidden(run string) []string {
	var out []string
	for _, pattern := range []string{".*", "*/.*", "*/*/.*"} {
		found, _ := filepath.Glob(filepath.Join(run, pattern))
		for _, f := range found {
			if filepath.Base(f) != ".lock" {
				out = append(out, f)
			}
		}
	}
	return out
}

// killPlugin waits for a random moment of p's life and kills its plugin. It
// reports whether there was one.
func (w *world) killPlugin(p *program, after time.Duration) bool {
	select {
	case err := <-p.ended:
		p.ended <- err
		return false
	case <-time.After(after):
	}
	hit := false
	for _, pid := range w.plugins(p) {
		hit = syscall.Kill(pid, syscall.SIGKILL) == nil || hit
	}
	return hit
}

// TestPluginKilled kills the plugin at random moments of training and of
// detection.
func TestPluginKilled(t *testing.T) {
	n := kills(t, 3)
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "rows.jsonl": manyRows(8000)})
	want, took := w.undisturbed()
	detectArgs := []string{"detect", "calm", "--data", "rows.jsonl", "--format", "jsonl", "--batch", "16"}
	began := time.Now()
	wantRows := w.must(0, detectArgs...).stdout.String()
	detecting := time.Since(began)
	r := rand.New(rand.NewPCG(3, 4))
	inRun, inDetect := 0, 0
	for i := 0; inRun+inDetect < n && i < 8*n; i++ {
		if i%2 == 0 {
			run := "run" + strconv.Itoa(i)
			p := w.start("run", "chaos.yaml", "--out", run, "--quiet")
			if w.killPlugin(p, time.Duration(r.Float64()*float64(took))) {
				inRun++
			}
			if code := p.code(t); code != 0 {
				t.Fatalf("run %d: exit code %d; stderr:\n%s", i, code, p.stderr.String())
			}
			if got := w.results(run); !slices.Equal(got, want) {
				t.Fatalf("run %d: results differ: %v, want %v", i, got, want)
			}
			_ = os.RemoveAll(w.path(run))
			continue
		}
		p := w.start(detectArgs...)
		if w.killPlugin(p, time.Duration(r.Float64()*float64(detecting))) {
			inDetect++
		}
		if code := p.code(t); code != 0 {
			t.Fatalf("detect %d: exit code %d; stderr:\n%s", i, code, p.stderr.String())
		}
		if p.stdout.String() != wantRows {
			t.Fatalf("detect %d: its rows differ", i)
		}
	}
	if left := w.sockets(); len(left) > 0 || !w.gone() {
		t.Errorf("left: %v, %v", left, w.processes())
	}
	t.Logf("%d kills in runs of %v, %d in detections of %v", inRun, took, inDetect, detecting)
}

// manyRows is JSON lines of 64 numbers in [0, 1] each.
func manyRows(n int) string {
	var b strings.Builder
	r := rand.New(rand.NewPCG(5, 6))
	for range n {
		for i := range 64 {
			b.WriteString(map[bool]string{true: "[", false: ","}[i == 0])
			b.WriteString(strconv.FormatFloat(float64(r.IntN(17))/16, 'g', -1, 64))
		}
		b.WriteString("]\n")
	}
	return b.String()
}

// TestPluginKilledTooOften kills every plugin process as soon as it is there.
func TestPluginKilledTooOften(t *testing.T) {
	w := newWorld(t, map[string]string{"chaos.yaml": strings.Replace(chaosSpec, "  checks: off", "  checks: off\n  restarts: 1", 1)})
	p := w.start("run", "chaos.yaml", "--out", "run", "--quiet")
	for ended := false; !ended; {
		select {
		case err := <-p.ended:
			p.ended <- err
			ended = true
		case <-time.After(2 * time.Millisecond):
			for _, pid := range w.plugins(p) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	code, text := p.code(t), p.stderr.String()
	for _, part := range []string{"plugin mlp", "after 1 restart", "signal: killed"} {
		if !strings.Contains(text, part) {
			t.Errorf("stderr does not say %q", part)
		}
	}
	if code != 4 || t.Failed() {
		t.Errorf("exit code %d, want 4; stderr:\n%s", code, text)
	}
}
