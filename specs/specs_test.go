package specs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/grid"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/specs"
)

// Each spec loads, and its auto-encoder ends in the shape that it begins with
// and has the parameters that its networks are known by.
func TestSpecs(t *testing.T) {
	want := map[string]struct {
		in     tensor.Shape
		params int // of encoder, heads and decoder; counted by hand from the layers
	}{
		"demo":               {tensor.Shape{28, 28, 1}, 142209},
		"fashion-cnn":        {tensor.Shape{28, 28, 1}, 187365},
		"mnist-hardened-cnn": {tensor.Shape{28, 28, 1}, 187365},
		"mnist-cnn":          {tensor.Shape{28, 28, 1}, 2117893},
		"fashion-smoothed":   {tensor.Shape{28, 28, 1}, 136115},
		"cifar10-cnn":        {tensor.Shape{32, 32, 3}, 35531779},
		"digits-mlp":         {tensor.Shape{64}, 36320},
		"breast-cancer-mlp":  {tensor.Shape{30}, 8942},
		"bench-conv":         {tensor.Shape{32, 32, 3}, 20851715},
		"bench-dense":        {tensor.Shape{784}, 676864},
		"bench-tabular":      {tensor.Shape{24}, 2408},
	}
	names := specs.Names()
	if len(names) != len(want) {
		t.Errorf("%d specs, want %d: %v", len(names), len(want), names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			data, err := specs.FS.ReadFile(name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			s, err := host.ParseSpec("specs/"+name+".yaml", data, builtin.Components())
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != name {
				t.Errorf("it is named %s", s.Name)
			}
			if !strings.HasPrefix(name, "bench-") && (s.Data.Calibration == nil || s.Threshold == nil || len(s.Attacks) == 0) {
				t.Error("not a whole experiment")
			}
			w := want[name]
			r := nn.FreshRand(s.Seed)
			enc, err := nn.Build(s.VAE.Encoder, w.in, r)
			if err != nil {
				t.Fatal(err)
			}
			dec, err := nn.Build(s.VAE.Decoder, tensor.Shape{s.VAE.LatentDim}, r)
			if err != nil {
				t.Fatal(err)
			}
			if !dec.Out().Equal(w.in) {
				t.Errorf("the decoder ends as %v, want %v", dec.Out(), w.in)
			}
			params := 2 * s.VAE.LatentDim * (enc.Out().Size() + 1) // the two heads
			if c, ok := s.Detector.Chosen().(detect.Coded); ok && c.Coding() == vae.Plain {
				params = 0
			}
			for _, p := range append(enc.Params(), dec.Params()...) {
				params += p.Value.Shape.Size()
			}
			if params != w.params {
				t.Errorf("%d parameters, want %d", params, w.params)
			}
		})
	}
}

// The experiments and grids of the tracks are sound, each detector of each set
// among them. Their data need not be there.
func TestTracks(t *testing.T) {
	files, err := filepath.Glob("tracks/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	grids := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := builtin.Components()
		if !strings.Contains(string(text), "\nkind: Grid\n") {
			if _, err := host.ParseSpec(file, text, c); err != nil {
				t.Error(err)
			}
			continue
		}
		grids++
		if _, err := host.ParseSpec(file, text, c); err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), `kind: want Experiment, got "Grid"`) {
			t.Errorf("a grid read as an experiment: %v", err)
		}
		g, err := grid.Load(file, nil, c.Tables())
		if err != nil {
			t.Error(err)
			continue
		}
		_, err = grid.Open(g, grid.Options{Components: c})
		if faults := (spec.Errors)(nil); errors.As(err, &faults) {
			t.Error(err)
		}
	}
	if grids < 4 {
		t.Errorf("only %d grids", grids)
	}
}
