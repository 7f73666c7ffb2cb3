package results

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// Arrays of names and kept columns come back, with what stands for nothing.
func TestNPZ(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.npz")
	o := named()
	o.Include.Latent = true
	if err := os.WriteFile(path, write(t, "npz", o, 4, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	z, err := dataset.OpenNPZ(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	for name, want := range map[string]any{
		"id":                  []string{"", "L-1", "L-2", "L-3", "L-4"},
		"is_adversarial":      []int64{-1, 0, 0, 1, -1},
		"predicted":           []int64{-1, 1, 0, 1, -1},
		"predicted_label":     []string{"", "spam", "ham", "spam", ""},
		"reconstructed_label": []string{"", "spam", "ham", "ham", ""},
		"corrected_label":     []string{"", "spam", "ham", "ham", ""},
		"town":                []string{"", "Zürich, 1", "", "Zürich, 3", ""},
		"error":               []string{"line 1: no, \"number\"", "", "", "", "too far"},
	} {
		if a, err := z.Array(name); err != nil || !reflect.DeepEqual(a.Data, want) {
			t.Errorf("%s: %v, %v, want %v", name, a.Data, err, want)
		}
	}
	a, err := z.Array("age")
	if v, ok := a.Data.([]float64); !ok || v[0] == v[0] || v[1] != 21.5 || v[2] == v[2] || v[4] != 99 {
		t.Errorf("age: %v, %v", a.Data, err)
	}
	if a, err := z.Array("latent"); err != nil || len(a.Shape) != 2 || a.Shape[0] != 5 {
		t.Errorf("latent: %v, %v", a.Shape, err)
	}
	if z.Has("file") || z.Has("note") {
		t.Errorf("arrays %v", z.Keys())
	}
}
