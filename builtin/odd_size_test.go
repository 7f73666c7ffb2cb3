package builtin_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// oddSpec trains the guard for two steps. %s: the classifier's first layers, the
// decoder's layers.
const oddSpec = `api_version: vaeguard/v1
kind: Experiment
name: odd
seed: 1
data:
  train:       {file: images.npz, labels: y, range: [0, 64]}
  calibration: {file: images.npz, labels: y, range: [64, 96]}
classifier:
  plugin: cnn
  config: {layers: [%s, {conv2d: {filters: 3, kernel_size: 3, strides: 3, activation: relu}}]}
  train: {epochs: 1, batch_size: 32}
  checks: warn
vae:
  latent_dim: 4
  encoder:
    - conv2d: {filters: 4, kernel_size: 3, strides: 2, padding: same, activation: relu}
    - conv2d: {filters: 4, kernel_size: 3, strides: 2, padding: same, activation: relu}
  decoder: [%s]
detector: {samples: 2}
train: {epochs: 1, batch_size: 32}
threshold: {fpr: 0.2}
`

// TestOddSizes trains detectors for images whose sides strides of 2 do not
// divide, saves them, and opens them again.
func TestOddSizes(t *testing.T) {
	const up = "conv2d_transpose: {kernel_size: 3, strides: 2, padding: same, "
	for _, c := range []struct {
		name             string
		in               tensor.Shape
		classify, decode string
	}{
		{"31×31 by output_padding", tensor.Shape{31, 31, 1}, "{cropping2d: {cropping: [[0, 1], [1, 0]]}}",
			"{dense: {units: 256}}, {reshape: {target_shape: [8, 8, 4]}}, {" + up + "filters: 4, activation: relu}}, {" + up + "filters: 1, output_padding: 0}}"},
		{"45×30 by output_padding", tensor.Shape{45, 30, 1}, "{resizing: {height: 15, width: 16, interpolation: area}}",
			"{dense: {units: 384}}, {reshape: {target_shape: [12, 8, 4]}}, {" + up + "filters: 4, output_padding: 0, activation: relu}}, {" + up + "filters: 1, output_padding: [0, 1]}}"},
		{"45×30 by cropping2d", tensor.Shape{45, 30, 1}, "{conv2d_transpose: {filters: 2, kernel_size: 2, strides: 2, output_padding: 1}}",
			"{dense: {units: 384}}, {reshape: {target_shape: [12, 8, 4]}}, {" + up + "filters: 4, activation: relu}}, {" + up + "filters: 1}}, {cropping2d: {cropping: [[1, 2], [1, 1]]}}"},
		{"31×31 by resizing", tensor.Shape{31, 31, 1}, "{resizing: {height: 9, width: 11, interpolation: nearest}}",
			"{dense: {units: 196}}, {reshape: {target_shape: [7, 7, 4]}}, {" + up + "filters: 4, activation: relu}}, {resizing: {height: 31, width: 31}}, {conv2d: {filters: 1, kernel_size: 3, padding: same}}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			images(t, dir, c.in)
			name := filepath.Join(dir, "odd.yaml")
			if err := os.WriteFile(name, fmt.Appendf(nil, oddSpec, c.classify, c.decode), 0o644); err != nil {
				t.Fatal(err)
			}
			e, err := host.Load(name, nil, builtin.Components(), host.Options{})
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			out := filepath.Join(dir, "detector")
			d, err := e.TrainTo(ctx, host.TrainOptions{Out: out})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			again, err := host.Open(out, builtin.Components())
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			rows, err := e.Rows(dataset.RoleCalibration)
			if err != nil {
				t.Fatal(err)
			}
			var results [2]*detect.Result
			for i, d := range []*host.Detector{d, again} {
				if results[i], err = d.Detector.Detect(ctx, rows.X, detect.Include{Reconstruction: true}); err != nil {
					t.Fatal(err)
				}
			}
			if r := results[0].Reconstruction; !r.Example().Equal(c.in) {
				t.Errorf("reconstructions are %v, want %v", r.Example(), c.in)
			}
			if !slices.Equal(results[0].Reconstruction.Data, results[1].Reconstruction.Data) || !slices.Equal(results[0].Score, results[1].Score) {
				t.Error("the saved detector has other numbers")
			}
			if i := slices.IndexFunc(results[0].Score, func(s float64) bool { return math.IsNaN(s) || math.IsInf(s, 0) }); i >= 0 {
				t.Errorf("score %d is %v", i, results[0].Score[i])
			}
		})
	}
}

// TestOddSizeError holds the place of the error and its cure.
func TestOddSizeError(t *testing.T) {
	dir := t.TempDir()
	images(t, dir, tensor.Shape{31, 31, 1})
	name := filepath.Join(dir, "odd.yaml")
	text := fmt.Sprintf(oddSpec, "{cropping2d: {}}", `
    {dense: {units: 256}},
    {reshape: {target_shape: [8, 8, 4]}},
    {conv2d_transpose: {filters: 4, kernel_size: 3, strides: 2, padding: same, activation: relu}},
    {conv2d_transpose: {filters: 1, kernel_size: 3, strides: 2, padding: same}}`)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := host.Load(name, nil, builtin.Components(), host.Options{})
	const want = "odd.yaml:22:5: vae.decoder[3]: conv2d_transpose ends as 32×32×1, the classifier takes 31×31×1: " +
		"set vae.decoder[3].conv2d_transpose.output_padding: 0, or append cropping2d: {cropping: [[0, 1], [0, 1]]}"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q in it", err, want)
	}
	if _, err := host.Load(name, []string{"vae.decoder[3].conv2d_transpose.output_padding=0"}, builtin.Components(), host.Options{}); err != nil {
		t.Errorf("with what it says: %v", err)
	}
}

// images writes images.npz: 96 images of two classes, one with a bright row and
// one with a bright column.
func images(t *testing.T, dir string, in tensor.Shape) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	x, y := tensor.Batch(96, in), make([]int, 96)
	for i := range y {
		y[i] = i % 2
		row := x.Row(i)
		for j := range row {
			row[j] = float32(0.2 * r.Float64())
			if at := j / in[2]; y[i] == 0 && at/in[1] == in[0]/2 || y[i] == 1 && at%in[1] == in[1]/2 {
				row[j] += 0.7
			}
		}
	}
	if err := dataset.WriteNPZFile(filepath.Join(dir, "images.npz"), []dataset.Array{
		{Name: "x", Shape: x.Shape, Data: x.Data}, {Name: "y", Shape: tensor.Shape{len(y)}, Data: y},
	}); err != nil {
		t.Fatal(err)
	}
}
