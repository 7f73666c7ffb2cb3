package onnx

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestBeside: the files of external data are told, each once, and a model that
// cannot be read is an error.
func TestBeside(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"whole.onnx":   linear(tensorOf("w", linearWeights, 3, 2)).bytes(),
		"split.onnx":   {},
		"broken.onnx":  []byte("<html>"),
		"data/w.bin":   floatBytes(linearWeights),
		"data/v.bin":   floatBytes(linearWeights),
		"missing.onnx": linear(outsideOf("w", "none.bin", "", 3, 2)).bytes(),
	} {
		if name == "split.onnx" {
			f := linear(outsideOf("w", "data/w.bin", "", 3, 2))
			f.consts = append(f.consts, outsideOf("again", "data/./w.bin", "", 3, 2), outsideOf("v", "data/v.bin", "0", 3, 2))
			data = f.bytes()
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]string{"whole.onnx": nil, "split.onnx": {"data/v.bin", "data/w.bin"}} {
		got, err := Beside(filepath.Join(dir, name))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"broken.onnx", "missing.onnx", "none.onnx"} {
		if got, err := Beside(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}
