package outside_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// spec is a small guard of small images, trained in a second.
const spec = `api_version: vaeguard/v1
kind: Experiment
name: outside
seed: 3
data:
  train:       {dataset: digits, split: train}
  calibration: {dataset: digits, split: calibration}
classifier:
  plugin: mlp
  config: {hidden: [32], range: [0, 1]}
  train: {epochs: 20, batch_size: 32}
  checks: off
vae:
  latent_dim: 8
  encoder:
    - dense: {units: 32, activation: relu}
  decoder:
    - dense: {units: 64, activation: sigmoid}
detector: {samples: 2, score: [margin, reverse_kl], fusion: cauchy}
train: {epochs: 10, batch_size: 32}
threshold: {fpr: 0.05}
`

// TestOutside attacks a guard with Foolbox and torchattacks: PyTorch's copy of it has to agree
// on each clean row, and a wide ball has to be more dangerous than a narrow one.
func TestOutside(t *testing.T) {
	python := os.Getenv("VAEGUARD_OUTSIDE_PYTHON")
	if python == "" {
		t.Skip("set VAEGUARD_OUTSIDE_PYTHON to a Python with PyTorch and what requirements.txt names, as .ci/run does")
	}
	dir := t.TempDir()
	binary, guard, rows := filepath.Join(dir, "vaeguard"), filepath.Join(dir, "guard"), filepath.Join(dir, "rows.npz")
	if err := os.WriteFile(filepath.Join(dir, "outside.yaml"), []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	const digits = "import sys, numpy as np, sklearn.datasets as d; a = d.load_digits(); np.savez(sys.argv[1], x=(a.data[:60] / 16).astype('f4'), y=a.target[:60])"
	run(t, "go", "build", "-o", binary, "github.com/vaeguard/vaeguard/host/cmd/vaeguard")
	run(t, binary, "train", filepath.Join(dir, "outside.yaml"), "--out", guard, "--quiet")
	run(t, python, "-c", digits, rows)
	evaded := func(eps string) map[string]float64 {
		text := run(t, python, "attack.py", guard, "--data", rows, "--eps", eps, "--steps", "20", "--binary", binary, "--json")
		var r struct {
			Right  int                `json:"right"`
			Evaded map[string]float64 `json:"evaded"`
		}
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if r.Right < 30 || len(r.Evaded) != 3 {
			t.Fatalf("%s", text)
		}
		return r.Evaded
	}
	narrow, wide := evaded("0.01"), evaded("0.3")
	for _, name := range []string{"pgd", "apgdt", "any"} {
		if narrow[name] > 0.2 || wide[name] < 0.5 {
			t.Errorf("%s evades %.2f within .01 and %.2f within .3", name, narrow[name], wide[name])
		}
	}
}

// run runs a command and gives what it printed.
func run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "OMP_NUM_THREADS=1")
	out, err := cmd.Output()
	if err != nil {
		var bad *exec.ExitError
		if errors.As(err, &bad) {
			out = append(out, bad.Stderr...)
		}
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}
