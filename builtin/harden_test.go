package builtin_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/host/train"
)

// overfit is a guard of the digits that is hardened by one step in a ball that is too
// large for one: after a while it stands that step alone (catastrophic overfitting:
// Wong et al. 2020, arXiv:2001.03994).
const overfit = `api_version: vaeguard/v1
kind: Experiment
name: overfit
seed: 42
data:
  train:       {dataset: digits, split: train}
  validation:  {dataset: digits, split: validation}
  calibration: {dataset: digits, split: calibration}
classifier:
  plugin: mlp
  config: {hidden: [64], range: [0, 1]}
  train: {epochs: 30, batch_size: 32}
vae:
  latent_dim: 32
  encoder:
    - dense: {units: 256, activation: relu}
    - dense: {units: 256, activation: relu}
  decoder:
    - dense: {units: 256, activation: relu}
    - dense: {units: 256, activation: relu}
    - dense: {units: 64, activation: sigmoid}
detector: {method: vae, samples: 10, score: kl, data_type: tabular}
train:
  loss: {adversarial: {w_model: 1, w_recon: 0}}
  optimizer: {adam: {learning_rate: 0.002}}
  epochs: 50
  batch_size: 64
  harden: {norm: linf, eps: 0.25, steps: 1, weight: 1, robust: {rows: 180}}
threshold: {fpr: 0.05}
`

// TestCatastrophicOverfitting: a hardening that collapses is warned of while it runs, the
// epoch before is kept, and the guard's health says so; three steps cure it, as the
// warning says.
func TestCatastrophicOverfitting(t *testing.T) {
	if testing.Short() {
		t.Skip("trains two guards")
	}
	file := filepath.Join(t.TempDir(), "overfit.yaml")
	if err := os.WriteFile(file, []byte(overfit), 0o600); err != nil {
		t.Fatal(err)
	}
	guard := func(set ...string) (*health.Hardened, health.Finding, []float64) {
		var shares []float64
		e, err := host.Load(file, set, builtin.Components(), host.Options{Progress: func(p host.Progress) {
			if v, ok := p.Metrics[train.NameRobust]; ok && p.Ended && p.Stage == host.StageDetector {
				shares = append(shares, v)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = e.Close() }()
		d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: filepath.Join(t.TempDir(), "guard")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
		f, _ := d.Saved.Meta.Health.Finding(health.Hardening)
		return d.Saved.Meta.Hardened, f, shares
	}
	h, f, shares := guard()
	if h == nil || len(shares) != 50 || shares[49] != h.Last || shares[h.Epoch-1] != h.Share {
		t.Fatalf("%+v of shares %v", h, shares)
	}
	if !h.Parted || h.Epoch == h.Epochs || h.Share < h.Last+.1 || f.Severity != health.Warning || !strings.Contains(f.Message, "catastrophic overfitting") {
		t.Errorf("the collapse was not found: %+v, %+v, shares %v", h, f, shares)
	}
	t.Logf("one step: %+v, %v", h, shares)
	cured, f, shares := guard("train.harden.steps=3")
	t.Logf("three: %+v, %v", cured, shares)
	if cured.Parted || f.Severity != health.Note || cured.Share < h.Share-.05 {
		t.Errorf("with three steps: %+v, %+v, shares %v", cured, f, shares)
	}
	if b, err := json.Marshal(h); err != nil || !strings.Contains(string(b), `"parted":true`) {
		t.Errorf("%s, %v", b, err)
	}
}
