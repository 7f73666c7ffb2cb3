package host_test

import (
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// glancedCase trains on a part of a folder, and other parts of it have other roles.
func glancedCase() streamedCase {
	return streamedCase{source: "folder: images, split: train", rows: imageFolder,
		data: "  calibration: {folder: images, split: calibration, limit: 4}\n  test: {folder: images, split: test}\n",
		spec: strings.Replace(imageVAE, "latent_dim: 2", "latent_dim: 2, normalize: standard", 1) + "train: {epochs: 2, batch_size: 8, harden: {norm: linf, eps: 0.1, steps: 1}}\n"}
}

// about is what a detector says of its data.
func about(t *testing.T, dir string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	var meta map[string]any
	if err := json.Unmarshal(b, &meta); err != nil {
		t.Fatal(err)
	}
	return map[string]any{"signature": meta["signature"], "data": meta["data"]}
}

// TestGlancedTraining: images that are decoded when they are due give the detector
// that those in memory give: weights, ranges of raw and prepared numbers, digests.
func TestGlancedTraining(t *testing.T) {
	c := glancedCase()
	dir := t.TempDir()
	c.rows(t, dir)
	config := c.ready(t, dir)
	want := trainedWeights(t, c.write(t, dir, false, config), filepath.Join(dir, "memory"), 1)
	for name, scale := range map[string]string{"plain": "", "standard": ", scale: standard", "rescaled": ", rescale: {scale: 0.5, offset: -0.25}"} {
		t.Run(name, func(t *testing.T) {
			c := c
			c.source += scale
			for _, role := range []string{"calibration", "test"} {
				c.data = strings.Replace(c.data, "split: "+role, "split: "+role+scale, 1)
			}
			memory, want := filepath.Join(dir, "memory"), want
			if scale != "" {
				memory += name
				want = trainedWeights(t, c.write(t, dir, false, config), memory, 1)
			}
			out := filepath.Join(dir, "glanced"+name)
			if got := trainedWeights(t, c.write(t, dir, true, config), out, 2); string(got) != string(want) {
				t.Error("the weights differ from those trained in memory")
			}
			if got, want := about(t, out), about(t, memory); !reflect.DeepEqual(got, want) {
				t.Errorf("the detector says %v, want %v", got, want)
			}
		})
	}
}

// TestGlancedFaults: what is wrong with an image is told before a detector is written, also of
// one that has no role, and what its header says before anything is trained.
func TestGlancedFaults(t *testing.T) {
	c := glancedCase()
	c.spec = imageVAE + "train: {epochs: 2, batch_size: 8}\n" // nothing goes over all rows before the first step
	dir := t.TempDir()
	c.rows(t, dir)
	config := c.ready(t, dir)
	spec := c.write(t, dir, true, config)
	load := func() *host.Experiment {
		e, err := host.Load(spec, nil, builtin.Components(), host.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := load()
	role := map[int]dataset.Role{}
	for _, r := range []dataset.Role{dataset.RoleTrain, dataset.RoleCalibration, dataset.RoleTest} {
		d, err := e.Rows(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range d.Index {
			role[i] = r
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "images", "*", "*.png"))
	if err != nil || len(files) != streamedRows {
		t.Fatalf("%d files, %v", len(files), err)
	}
	of := map[dataset.Role]string{}
	for i, f := range files { // in the order of their classes and names, as rows are
		of[role[i]] = f
	}
	larger, err := os.Create(filepath.Join(t.TempDir(), "larger.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(larger, image.NewGray(image.Rect(0, 0, 5, 4))), larger.Close()); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]struct {
		file   string
		damage func(b []byte) []byte
		want   string
		early  bool
	}{
		"a row that is trained on": {of[dataset.RoleTrain], func(b []byte) []byte { return b[:len(b)-20] }, "unexpected EOF", false},
		"a row of no role":         {of[""], func(b []byte) []byte { return b[:len(b)-20] }, "unexpected EOF", false},
		"a row of calibration":     {of[dataset.RoleCalibration], func(b []byte) []byte { return b[:len(b)-20] }, "unexpected EOF", true},
		"a header":                 {of[""], func(b []byte) []byte { return b[:20] }, "unexpected EOF", true},
		"a size": {of[""], func([]byte) []byte {
			b, err := os.ReadFile(larger.Name())
			if err != nil {
				t.Fatal(err)
			}
			return b
		}, "an image of 4×5×1, want 4×4×1", true},
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := os.ReadFile(fault.file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(fault.file, fault.damage(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := os.WriteFile(fault.file, whole, 0o600); err != nil {
					t.Error(err)
				}
			}()
			steps := 0
			e, err := host.Load(spec, nil, builtin.Components(), host.Options{Progress: func(p host.Progress) {
				if p.Stage == host.StageDetector {
					steps++
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "out")
			_, err = e.TrainTo(t.Context(), host.TrainOptions{Out: out})
			if err == nil || !strings.Contains(err.Error(), fault.want) || !strings.Contains(err.Error(), filepath.Base(fault.file)) && name != "a size" {
				t.Errorf("%v, want %q of %s", err, fault.want, fault.file)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("there is a detector")
			}
			if fault.early != (steps == 0) {
				t.Errorf("after %d steps, early %t", steps, fault.early)
			}
			if _, err := e.Rows(dataset.RoleTrain); err == nil || !strings.Contains(err.Error(), fault.want) {
				t.Errorf("when they are read again: %v", err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
