package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// presetSpec is a spec whose recipe is left to a preset.
const presetSpec = `api_version: vaeguard/v1
kind: Experiment
name: preset
preset: NAME
data: {train: {DATA}, CALIBRATION allow_overlap: true}
MORE
`

func presetText(name, data, more string) string {
	calibration := "calibration: {" + data + "},"
	if strings.Contains(data, "split: train") {
		calibration = strings.Replace(calibration, "split: train", "split: train, range: [0, 45]", 1)
	}
	return strings.NewReplacer("NAME", name, "DATA", data, "CALIBRATION", calibration, "MORE", more).Replace(presetSpec)
}

// TestPreset: a preset becomes the keys that a file lacks, for images and for tables
// each, and what is resolved reads as the same again.
func TestPreset(t *testing.T) {
	dir := autoData(t)
	for name, white := range map[string]float32{"unit.npy": 1, "bytes.npy": 255} {
		x := make([]float32, 4*8*8)
		x[70] = white
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := dataset.WriteNPY(f, dataset.Array{Shape: []int{4, 8, 8, 1}, Data: x}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		preset, data, more string
		has, lacks         []string // parts of the resolved spec
	}{
		"images":               {"recommended", "dataset: fashion-mnist-3k, split: train", "", []string{"eps: 0.16", "fusion: cauchy", "data_type: image", "eps: 2}", "epochs: 60", "conv2d"}, nil},
		"images with more":     {"recommended", "dataset: fashion-mnist-3k, split: train", "train: {epochs: 3, batch_size: 32}\nthreshold: {fpr: 0.1}", []string{"epochs: 3", "batch_size: 32", "fpr: 0.1", "eps: 0.16"}, nil},
		"few images":           {"recommended", "dataset: fashion-mnist-3k, split: train, limit: 20", "threshold: {fpr: 0.5}", []string{"score: margin", "eps: 0.16"}, []string{"fusion"}},
		"images by word":       {"recommended", "dataset: digits, split: train", "detector: {data_type: image}\nthreshold: {fpr: 0.5}", []string{"data_type: image", "fusion: cauchy"}, nil},
		"photos":               {"recommended", "folder: photos", "threshold: {value: 1}", []string{"data_type: image", "eps: 0.16"}, []string{"eps_unit"}},
		"array of intensities": {"recommended", "file: unit.npy", "threshold: {value: 1}", []string{"data_type: image", "eps: 0.16", "activation: sigmoid"}, []string{"eps_unit"}},
		"array of bytes":       {"recommended", "file: bytes.npy, rescale: {scale: 0.00392156862745098}", "threshold: {value: 1}", []string{"eps: 0.16", "activation: sigmoid"}, []string{"eps_unit"}},
		"bytes as they are":    {"recommended", "file: bytes.npy", "threshold: {value: 1}", []string{"eps: 0.48", "eps_unit: std"}, []string{"activation: sigmoid"}},
		"no intensities":       {"recommended", "file: x.npy", "threshold: {value: 1}", []string{"data_type: image", "eps_unit: std"}, nil},
		"a table":              {"recommended", "file: t.csv, header: true", "threshold: {fpr: 0.4}", []string{"data_type: tabular", "eps_unit: std", "score: margin", "norm: l2"}, []string{"conv2d", "fusion"}},
		"fast":                 {"fast", "dataset: fashion-mnist-3k, split: train", "", []string{"fusion: cauchy", "fpr: 0.05"}, []string{"harden"}},
		"the reference":        {"reference", "dataset: fashion-mnist-3k, split: train", "", []string{"log_var: softplus", "kl:", "fpr: 0.05", "probability_clip: 1.0e-07"}, []string{"harden", "margin"}},
		"not hardened":         {"recommended", "dataset: iris, split: train", "train: {harden: null}", []string{"score: margin"}, []string{"harden"}},
		"another rule":         {"recommended", "dataset: iris, split: train", "threshold: {percentile: 90}", []string{"percentile: 90"}, []string{"fpr"}},
		"another rate":         {"recommended", "dataset: iris, split: train", "threshold: {fpr: 0.2}", []string{"fpr: 0.2"}, nil},
		"no training":          {"recommended", "dataset: iris, split: train", "vae: {weights: w.safetensors, latent_dim: 1, decoder: [{dense: {units: 4}}]}", []string{"score: margin"}, []string{"harden", "epochs"}},
		"layers of its own":    {"fast", "dataset: iris, split: train", "vae: {latent_dim: 1, decoder: [{dense: {units: 4}}]}", []string{"latent_dim: 1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := loadAuto(t, dir, "preset.yaml", presetText(c.preset, c.data, c.more))
			if e.Spec.Preset != "" || e.Spec.Expanded != c.preset {
				t.Errorf("preset %q, expanded %q", e.Spec.Preset, e.Spec.Expanded)
			}
			resolved := string(e.Spec.Resolved())
			for _, part := range c.has {
				if !strings.Contains(resolved, part) {
					t.Errorf("resolved without %q:\n%s", part, resolved)
				}
			}
			for _, part := range append(c.lacks, "preset:", "vae: auto") {
				if strings.Contains(resolved, part) {
					t.Errorf("resolved with %q:\n%s", part, resolved)
				}
			}
			again := loadAuto(t, dir, "again.yaml", resolved)
			if second := string(again.Spec.Resolved()); second != resolved || again.Spec.Expanded != "" {
				t.Errorf("resolved again\n%s\nwant\n%s", second, resolved)
			}
		})
	}
}

// TestPresetFaults: what does not go with a preset is one fault, at the preset.
func TestPresetFaults(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ preset, data, more, want string }{
		"unknown":          {"recomended", "dataset: iris, split: train", "train: {epochs: 2}", `preset: unknown preset "recomended"; did you mean "recommended"?`},
		"another method":   {"recommended", "dataset: iris, split: train", "detector: {method: max_softmax}", "preset: recommended guards by method vae, detector.method is max_softmax: drop one of them"},
		"of unknown shape": {"fast", "file: none.npy", "", "preset: the data does not tell whether its rows are images or a table; write detector.data_type: image or tabular"},
	} {
		t.Run(name, func(t *testing.T) {
			text := presetText(c.preset, c.data, c.more)
			_, err := host.ParseSpec(filepath.Join(dir, "p.yaml"), []byte(text), builtin.Components())
			if want := filepath.Join(dir, "p.yaml") + ":4:9: " + c.want; err == nil || err.Error() != want {
				t.Errorf("%v\nwant\n%s", err, want)
			}
		})
	}
}

// TestPresetOverride: an override chooses a preset and its keys win, and one that is
// empty leaves the preset out.
func TestPresetOverride(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte(presetText("recommended", "dataset: iris, split: train", "")), 0o644); err != nil {
		t.Fatal(err)
	}
	load := func(set ...string) *host.Experiment {
		e, err := host.Load(file, set, builtin.Components(), host.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := load("preset=fast"); e.Spec.Expanded != "fast" || e.Spec.Train.Harden != nil {
		t.Errorf("expanded %q, hardened %v", e.Spec.Expanded, e.Spec.Train.Harden)
	}
	if e := load("train.harden.eps=0.3"); e.Spec.Train.Harden.Eps != 0.3 || e.Spec.Train.Harden.EpsUnit != "" {
		t.Errorf("hardened by %+v", e.Spec.Train.Harden)
	}
	if e := load(`preset=""`); e.Spec.Expanded != "" || e.Spec.Train != nil || e.Spec.Threshold != nil {
		t.Errorf("without a preset: %s", e.Spec.Resolved())
	}
}
