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
		"another rate":         {"recommended", "dataset: iris, split: train", "threshold: {fpr: 0.2}", []string{"fpr: 0.2", "class_fpr: 0.6"}, nil},
		"a rate of half":       {"recommended", "dataset: iris, split: train", "threshold: {fpr: 0.5}", []string{"fpr: 0.5"}, []string{"class_fpr"}},
		"a bound of its own":   {"recommended", "dataset: iris, split: train", "threshold: {fpr: 0.2, class_fpr: 0.3}", []string{"fpr: 0.2", "class_fpr: 0.3"}, nil},
		"each class":           {"recommended", "dataset: iris, split: train", "threshold: {fpr: 0.2, by: predicted_class}", []string{"fpr: 0.2", "by: predicted_class"}, []string{"class_fpr"}},
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
	if e := load(`preset=""`); e.Spec.Expanded != "" || e.Spec.Train != nil || e.Spec.Threshold != nil {
		t.Errorf("without a preset: %s", e.Spec.Resolved())
	}
}

// TestPresetSections: a key of a nested section, written or set, is laid over the
// preset's section; what stands for another component, or for none, is not.
func TestPresetSections(t *testing.T) {
	const table, images = "dataset: iris, split: train", "dataset: fashion-mnist-3k, split: train"
	dir := t.TempDir()
	for name, c := range map[string]struct {
		data, more string
		set        []string
		has, lacks []string // parts of the resolved spec
	}{
		"as it is":           {table, "", nil, []string{"harden:", "eps: 0.5", "eps_unit: std", "norm: l2", "learning_rate: 0.001", "w_recon: 0.1", "loss: 0.005", "class_loss: 0.1"}, []string{"rows: 0, steps: 0"}},
		"two deep":           {table, "", []string{"train.harden.robust.steps=0"}, []string{"eps: 0.5", "eps_unit: std", "norm: l2", "robust: {rows: 0, every: 0, steps: 0}"}, nil},
		"two deep, written":  {table, "train: {harden: {robust: {steps: 0}}}", nil, []string{"eps: 0.5", "eps_unit: std", "norm: l2", "robust: {rows: 0, every: 0, steps: 0}"}, nil},
		"a radius":           {table, "", []string{"train.harden.eps=0.3"}, []string{"eps: 0.3", "eps_unit: std", "norm: l2"}, []string{"eps: 0.5"}},
		"a section of none":  {table, "train: {harden: {}}", nil, []string{"eps: 0.5", "eps_unit: std", "norm: l2"}, nil},
		"no section":         {table, "", []string{"train.harden=null"}, []string{"w_recon: 0.1"}, []string{"harden"}},
		"a list":             {table, "", []string{"train.harden.also=[]"}, []string{"eps: 0.5", "eps_unit: std"}, []string{"norm: l2"}},
		"no list":            {table, "", []string{"train.harden.also=null"}, []string{"eps: 0.5"}, []string{"norm: l2"}},
		"an optimizer's key": {table, "", []string{"train.optimizer.adam.beta_1=0.8"}, []string{"beta_1: 0.8", "learning_rate: 0.001"}, nil},
		"another optimizer":  {images, "", []string{"train.optimizer={sgd: {momentum: 0.5}}"}, []string{"sgd:", "momentum: 0.5"}, []string{"adam", "learning_rate: 0.002"}},
		"the same by name":   {images, "train: {optimizer: adam}", nil, []string{"adam"}, []string{"learning_rate: 0.002"}},
		"a loss's key":       {table, "", []string{"train.loss.adversarial.w_model=2"}, []string{"w_model: 2", "w_recon: 0.1"}, nil},
		"another loss":       {table, "train: {loss: {elbo: {}}}", nil, []string{"elbo"}, []string{"adversarial"}},
		"a key of correct":   {table, "detector: {correct: {loss: 0.01}}", nil, []string{"loss: 0.01", "class_loss: 0.1"}, []string{"loss: 0.005"}},
		"nothing of correct": {table, "detector: {correct: null}", nil, []string{"score: margin"}, []string{"class_loss"}},
		"units of the rows":  {table, "", []string{"vae.normalize=standard"}, []string{"normalize: standard", "encoder:", "decoder:"}, []string{"layers"}},
		"a wider code":       {table, "vae: {latent_dim: 3}", nil, []string{"latent_dim: 3", "encoder:", "decoder:"}, []string{"layers"}},
		"own layers":         {table, "vae: {latent_dim: 3, decoder: [{dense: {units: 4}}]}", nil, []string{"latent_dim: 3", "units: 4"}, []string{"layers", "encoder:"}},
		"a rate by class":    {images, "", []string{"threshold.by=predicted_class"}, []string{"fpr: 0.05", "by: predicted_class"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".yaml")
			if err := os.WriteFile(file, []byte(presetText("recommended", c.data, c.more)), 0o600); err != nil {
				t.Fatal(err)
			}
			e, err := host.Load(file, c.set, builtin.Components(), host.Options{})
			if err != nil {
				t.Fatal(err)
			}
			resolved := string(e.Spec.Resolved())
			for _, part := range c.has {
				if !strings.Contains(resolved, part) {
					t.Errorf("resolved without %q:\n%s", part, resolved)
				}
			}
			for _, part := range c.lacks {
				if strings.Contains(resolved, part) {
					t.Errorf("resolved with %q:\n%s", part, resolved)
				}
			}
		})
	}
}

// TestPresetSectionFaults: a fault of a partial section is its own, not that of keys
// which the preset has.
func TestPresetSectionFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte(presetText("recommended", "dataset: iris, split: train", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]string{
		"train.harden.epz=1":                  `unknown key "epz"; did you mean "eps"?`,
		"train.harden.eps=-1":                 "train.harden.eps: must be > 0, got -1",
		"train.optimizer={adamm: {beta1: 1}}": `unknown optimizer "adamm"; did you mean "adam"?`,
		"train.optimizer={sgd: {}, rms: {}}":  "want one optimizer, got the keys sgd, rms",
	} {
		_, err := host.Load(file, []string{set}, builtin.Components(), host.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want only %s", set, err, want)
		}
	}
}
