package presets_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/presets"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestRecommended: radii, steps and scores follow from the rows; those of Fashion-MNIST
// are the measured ones.
func TestRecommended(t *testing.T) {
	for name, c := range map[string]struct {
		rows       host.PresetRows
		has, lacks []string
	}{
		"fashion-mnist":  {host.PresetRows{Shape: tensor.Shape{28, 28, 1}, Image: true, Unit: true, N: 50_000}, []string{"{norm: linf, eps: 0.16, also: [{norm: l2, eps: 2}]}", "epochs: 10\n", "[margin, reverse_kl], fusion: cauchy", "w_recon: 0}"}, []string{"recon: mse"}},
		"cifar-10":       {host.PresetRows{Shape: tensor.Shape{32, 32, 3}, Image: true, Unit: true, N: 40_000}, []string{"eps: 0.05, also: [{norm: l2, eps: 1.2}]", "epochs: 12\n"}, nil},
		"large photos":   {host.PresetRows{Shape: tensor.Shape{224, 224, 3}, Image: true, Unit: true, N: 240}, []string{"eps: 0.05, also: [{norm: l2, eps: 8.7}]", "epochs: 60\n", "w_recon: 0.3}}\n  recon: mse\n", "batch_size: 16\n"}, nil},
		"bytes":          {host.PresetRows{Shape: tensor.Shape{28, 28, 1}, Image: true}, []string{"eps: 0.48, eps_unit: std", "eps: 6}", "epochs: 20\n"}, nil},
		"unknown images": {host.PresetRows{Image: true, Unit: true}, []string{"harden: {norm: linf, eps: 0.16}\n"}, []string{"also"}},
		"few images":     {host.PresetRows{Shape: tensor.Shape{28, 28, 1}, Image: true, Unit: true, Calibration: 39}, []string{"score: margin, data_type: image"}, []string{"fusion"}},
		"enough images":  {host.PresetRows{Shape: tensor.Shape{28, 28, 1}, Image: true, Unit: true, Calibration: 40}, []string{"fusion: cauchy"}, nil},
		"a table":        {host.PresetRows{Shape: tensor.Shape{64}, N: 1_078}, []string{"score: margin", "eps: 0.5, eps_unit: std, also: [{norm: l2, eps: 1.5}]", "epochs: 178\n", "w_recon: 0.1}}\n  recon: mse\n"}, []string{"fusion", "image"}},
		"a long table":   {host.PresetRows{Shape: tensor.Shape{64}, N: 100_000}, []string{"epochs: 20\n"}, nil},
		"a short table":  {host.PresetRows{Shape: tensor.Shape{64}, N: 100}, []string{"epochs: 240\n", "batch_size: 64\n"}, nil},
		"unknown rows":   {host.PresetRows{}, []string{"epochs: 100\n", "eps: 0.5, eps_unit: std}"}, []string{"also"}},
	} {
		recipe := presets.Recommended{}.Recipe(c.rows)
		for _, part := range c.has {
			if !strings.Contains(recipe, part) {
				t.Errorf("%s: without %q:\n%s", name, part, recipe)
			}
		}
		for _, part := range c.lacks {
			if strings.Contains(recipe, part) {
				t.Errorf("%s: with %q:\n%s", name, part, recipe)
			}
		}
		if hardened := "  harden:"; strings.Count(recipe, hardened) != 1 || strings.Contains(presets.Fast{}.Recipe(c.rows), hardened) {
			t.Errorf("%s: fast is hardened, or recommended is not", name)
		}
	}
}

// TestExplained: the documentation of each preset has its keys for images and tables.
func TestExplained(t *testing.T) {
	for _, e := range presets.Table().Entries() {
		for _, part := range []string{"data_type: image", "data_type: tabular", "threshold: {fpr: 0.05}", "grey images of 28×28", "vae: {layers: auto}"} {
			if !strings.Contains(e.Doc, part) {
				t.Errorf("%s: documented without %q", e.Name, part)
			}
		}
		if e.Default.Method() != "vae" {
			t.Errorf("%s guards by %s", e.Name, e.Default.Method())
		}
	}
}
