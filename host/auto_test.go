package host_test

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// autoSpec is a spec whose auto-encoder is left to vaeguard.
const autoSpec = `api_version: vaeguard/v1
kind: Experiment
name: auto
data: {train: {DATA}}
detector: {method: METHOD}
vae: auto
train: {epochs: 1}
`

// autoData are rows of several shapes: images as files and in an array, and a
// table.
func autoData(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, "photos", name), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, "photos", name, "0.png"))
		if err != nil {
			t.Fatal(err)
		}
		img := image.NewGray(image.Rect(0, 0, 11, 9))
		img.SetGray(3, 4, color.Gray{Y: 200})
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "x.npy"))
	if err != nil {
		t.Fatal(err)
	}
	if err := dataset.WriteNPY(f, dataset.Array{Shape: []int{4, 13, 13, 1}, Data: make([]float32, 4*13*13)}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte("a,b,c\n1,2,3\n4,5,7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAuto: vae: auto becomes layers that fit the rows, in the resolved spec too,
// which reads as the same again.
func TestAuto(t *testing.T) {
	dir := autoData(t)
	for name, c := range map[string]struct {
		data, method string
		in           tensor.Shape
		resolved     []string // parts
	}{
		"files":    {"folder: photos", "vae", tensor.Shape{9, 11, 1}, []string{"conv2d_transpose: {filters: 1", "activation: sigmoid", "output_padding: 0"}},
		"array":    {"file: x.npy", "vae", tensor.Shape{13, 13, 1}, []string{"latent_dim: 20", "- conv2d:", "activation: linear"}},
		"table":    {"file: t.csv, header: true", "vae", tensor.Shape{3}, []string{"latent_dim: 3", "- dense:"}},
		"no heads": {"file: x.npy", "ae", tensor.Shape{13, 13, 1}, []string{"- flatten", "units: 20"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.NewReplacer("DATA", c.data, "METHOD", c.method).Replace(autoSpec)
			s := loadAuto(t, dir, "auto.yaml", text)
			end := decodes(t, s.Spec.VAE)
			if s.Spec.VAE.Auto() || !end.Equal(c.in) {
				t.Errorf("the decoder ends in %v, the rows are %v", end, c.in)
			}
			resolved := string(s.Spec.Resolved())
			for _, part := range c.resolved {
				if !strings.Contains(resolved, part) {
					t.Errorf("resolved without %q:\n%s", part, resolved)
				}
			}
			again := loadAuto(t, dir, "again.yaml", resolved)
			if second := string(again.Spec.Resolved()); second != resolved {
				t.Errorf("resolved again\n%s\nwant\n%s", second, resolved)
			}
		})
	}
}

func loadAuto(t *testing.T, dir, name, text string) *host.Experiment {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(file, nil, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// decodes is what the section's decoder makes of its code.
func decodes(t *testing.T, s *vae.Section) tensor.Shape {
	t.Helper()
	seq, err := nn.Build(s.Decoder, tensor.Shape{s.LatentDim}, nn.FreshRand(1))
	if err != nil {
		t.Fatal(err)
	}
	return seq.Out()
}

// TestAutoUnresolved: where the shape is not known the word stays, and other words
// are faults.
func TestAutoUnresolved(t *testing.T) {
	text := strings.NewReplacer("DATA", "file: x.npy", "METHOD", "vae").Replace(autoSpec)
	s, err := host.ParseSpec("auto.yaml", []byte(text), builtin.Components())
	if err != nil {
		t.Fatal(err)
	}
	if resolved := string(s.Resolved()); !s.VAE.Auto() || !strings.Contains(resolved, "\nvae: auto\n") {
		t.Errorf("resolved\n%s", resolved)
	}
	_, err = host.ParseSpec("auto.yaml", []byte(strings.Replace(text, "vae: auto", "vae: atuo", 1)), builtin.Components())
	if want := `auto.yaml:6:6: vae: want a mapping of options, or auto; got "atuo"`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	c := builtin.Components()
	c.AutoEncoder = nil
	dir := autoData(t)
	if err := os.WriteFile(filepath.Join(dir, "auto.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Load(filepath.Join(dir, "auto.yaml"), nil, c, host.Options{}); err == nil || !strings.Contains(err.Error(), "this program has no rule for it") {
		t.Errorf("without a rule: %v", err)
	}
}
