package python_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// engineSpec is a detector of 64 numbers from 0 to 1.
const engineSpec = `api_version: vaeguard/v1
kind: Experiment
name: engines
seed: 7
data:
  train:       {dataset: digits, split: train}
  calibration: {dataset: digits, split: calibration}
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
    - dense: {units: 64, activation: sigmoid}
detector: {samples: 3, data_type: tabular}
train: {epochs: 3, batch_size: 32}
threshold: {fpr: 0.05}
`

// TestEngines asks a detector by Arrow, and from Spark, Ray and the recipes, in the
// environment of host/engines/requirements.txt.
func TestEngines(t *testing.T) {
	program := os.Getenv("VAEGUARD_ENGINES_PYTHON")
	if program == "" {
		t.Skip("set VAEGUARD_ENGINES_PYTHON to a Python with what host/engines/requirements.txt names, as .ci/run does")
	}
	dir := t.TempDir()
	binary, guard := filepath.Join(dir, "vaeguard"), filepath.Join(dir, "guard")
	if err := os.WriteFile(filepath.Join(dir, "engines.yaml"), []byte(engineSpec), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"go", "build", "-o", binary, "github.com/vaeguard/vaeguard/host/cmd/vaeguard"},
		{binary, "train", filepath.Join(dir, "engines.yaml"), "--out", guard, "--quiet"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	t.Setenv("VAEGUARD_BINARY", binary)
	t.Setenv("VAEGUARD_GUARD", guard)
	t.Setenv("PYSPARK_PYTHON", program)
	for _, name := range []string{"test_arrow.py", "test_recipes.py"} {
		out, err := python(t, ".", program, "-m", "unittest", "discover", "-s", "tests", "-p", name)
		if err != nil || !strings.Contains(out, "Ran ") || strings.Contains(out, "skipped=") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestEngineLost runs the program that makes the figures of host/engines on a few
// rows: Spark, with a classifier in Python that executors have nothing of but the
// pack, loses one of them in the middle.
func TestEngineLost(t *testing.T) {
	program := os.Getenv("VAEGUARD_ENGINES_PYTHON")
	if program == "" {
		t.Skip("set VAEGUARD_ENGINES_PYTHON to a Python with what host/engines/requirements.txt names, as .ci/run does")
	}
	dir, err := os.MkdirTemp("/tmp", "vge") // short: sockets lie under it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	figures := filepath.Join(dir, "figures.json")
	cmd := exec.Command(program, "../../host/engines/show.py", "spark", "--guard", "python", "--rows", "12000", "--dir", dir, "--figures", figures)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"rows": 12000`, "an executor killed after", "package: False, program: False"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
}
