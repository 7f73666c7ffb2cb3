package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
)

func TestMain(m *testing.M) {
	builtin.ServeIfPlugin()
	os.Exit(m.Run())
}

const resumed = `api_version: vaeguard/v1
kind: Experiment
name: resumed
data:
  train:       {dataset: digits, split: train, limit: 64}
  calibration: {dataset: digits, split: calibration, limit: 40}
classifier: {plugin: mlp, train: {epochs: 1}}
vae: {latent_dim: 2, encoder: [{dense: {units: 4}}], decoder: [{dense: {units: 64}}]}
train: {epochs: 3}
threshold: {fpr: 0.1}
`

// interruptedTraining is one that was cut short after its first epoch: the spec,
// where its detector was to be, and what the run says of its environment.
func interruptedTraining(t *testing.T) (file, out string, env map[string]any) {
	t.Helper()
	dir := t.TempDir()
	file, out = filepath.Join(dir, "resumed.yaml"), filepath.Join(dir, "guard")
	if err := os.WriteFile(file, []byte(resumed), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e, err := host.Load(file, nil, builtin.Components(), host.Options{Progress: func(p host.Progress) {
		if p.Stage == host.StageDetector && p.Ended {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	var cut *host.InterruptedError
	if _, err := e.TrainTo(ctx, host.TrainOptions{Out: out}); !errors.As(err, &cut) {
		t.Fatalf("training ends with %v, want it interrupted", err)
	}
	text, err := os.ReadFile(filepath.Join(out+".partial", "env.json"))
	if err == nil {
		err = json.Unmarshal(text, &env)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file, out, env
}

// resume goes on with a training under a changed spec and counts its epochs.
func resume(t *testing.T, file, out string, set ...string) (epochs int, err error) {
	t.Helper()
	e, err := host.Load(file, set, builtin.Components(), host.Options{Progress: func(p host.Progress) {
		if p.Stage == host.StageDetector && p.Ended {
			epochs++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: out, Resume: true})
	if err != nil {
		return epochs, err
	}
	return epochs, d.Close()
}

// What training does not depend on may change before it is resumed, and nothing
// else.
func TestResumeUnderAnotherSpec(t *testing.T) {
	file, out, _ := interruptedTraining(t)
	for _, set := range []string{"seed=1", "train.epochs=4", "data.train.limit=65", "vae.latent_dim=3", "detector.temperature=2", "classifier.train.epochs=2"} {
		if _, err := resume(t, file, out, set); err == nil || !strings.Contains(err.Error(), "was made from another spec") {
			t.Errorf("resumed with %s: %v", set, err)
		}
	}
	epochs, err := resume(t, file, out, "name=other", "data.calibration.limit=30", "detector.score=js", "detector.samples=3", "threshold.fpr=0.2",
		"attacks=[{fgsm: {eps: 0.1}}]", "corruptions=[brightness]", "evaluate.limit=5", "data.test={dataset: digits, split: test}")
	if err != nil || epochs != 2 {
		t.Errorf("resumed for %d epochs, want 2: %v", epochs, err)
	}
}

// Checkpoints of versions that compared the whole spec have its digest.
func TestResumeEarlierCheckpoint(t *testing.T) {
	file, out, env := interruptedTraining(t)
	state := filepath.Join(out+".partial", "checkpoints", "last", "state.safetensors")
	b, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	training, whole := []byte(env["training_sha256"].(string)), []byte(env["spec_sha256"].(string))
	if bytes.Count(b, training) != 1 {
		t.Fatalf("the checkpoint has the training's digest %d times", bytes.Count(b, training))
	}
	delete(env, "training_sha256")
	text, err := json.Marshal(env)
	if err == nil {
		err = errors.Join(os.WriteFile(state, bytes.Replace(b, training, whole, 1), 0o600), os.WriteFile(filepath.Join(out+".partial", "env.json"), text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resume(t, file, out, "threshold.fpr=0.2"); err == nil || !strings.Contains(err.Error(), "was made from another spec") {
		t.Errorf("resumed under another rule: %v", err)
	}
	if epochs, err := resume(t, file, out); err != nil || epochs != 2 {
		t.Errorf("resumed for %d epochs, want 2: %v", epochs, err)
	}
}
