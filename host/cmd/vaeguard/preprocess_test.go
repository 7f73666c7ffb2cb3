package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// preprocessSpec guards a convolutional network from a file, channels first,
// 3×13×11, whose rows are blue first, in bytes, minus a mean.
const preprocessSpec = `api_version: vaeguard/v1
kind: Experiment
name: preprocess
seed: 3
data:
  train:       {file: x.npy, range: [0, 48]}
  calibration: {file: x.npy, range: [48, 96]}
classifier:
  plugin: onnx
  config: {model: depthwise.onnx}
  preprocess: {scale: 255, mean: [104, 117, 123], std: [58, 57, 57.5], channels: bgr%s}
vae:
  latent_dim: 4
  encoder: [flatten]
  decoder:
    - dense: {units: 429, activation: sigmoid}
    - reshape: {target_shape: [13, 11, 3]}
train: {epochs: 1, batch_size: 16}
threshold: {fpr: 0.1}
`

// pictures are 96 of them in guard space, and the same as the model takes them,
// prepared one number at a time.
func pictures() (guard, model *tensor.Tensor) {
	const h, w = 13, 11
	r := rand.New(rand.NewPCG(5, 6))
	guard, model = tensor.New(96, h, w, 3), tensor.New(96, 3, h, w)
	mean, std := []float32{104, 117, 123}, []float32{58, 57, 57.5}
	for i := range guard.N() {
		for p := range h * w {
			for c := range 3 {
				b := r.IntN(256)
				guard.Row(i)[p*3+2-c] = float32(b) / 255
				model.Row(i)[c*h*w+p] = (float32(b) - mean[c]) / std[c]
			}
		}
	}
	return guard, model
}

// TestPreprocess: a guard in [0, 1], RGB, NHWC before an ONNX file that takes
// none of the three. Predictions and gradients are to the bit those of the file
// on rows prepared by hand; the detector is saved, opened again, and refuses the
// same file behind another preprocessing.
func TestPreprocess(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	guard, model := pictures()
	file, err := os.ReadFile("../../../builtin/classifiers/onnx/testdata/depthwise.onnx")
	if err != nil {
		t.Fatal(err)
	}
	var npy bytes.Buffer
	if err := dataset.WriteNPY(&npy, dataset.Array{Shape: guard.Shape, Data: guard.Data}); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("depthwise.onnx", file)
	write("x.npy", npy.Bytes())

	alone := onnx.New().(sdk.Forwarder)
	if err := alone.(sdk.Configurable).Configure(ctx, sdk.Config{JSON: []byte(`{"model": "depthwise.onnx"}`), BaseDir: dir}); err != nil {
		t.Fatal(err)
	}
	want, pull, err := alone.Forward(ctx, model)
	if err != nil {
		t.Fatal(err)
	}
	dy := tensor.New(want[sdk.Output].Shape...)
	for i := range dy.Data {
		dy.Data[i] = float32(i%7) - 3
	}
	own, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy})
	if err != nil {
		t.Fatal(err)
	}
	wantDx := tensor.New(guard.Shape...)
	for i := range guard.N() {
		for p := range 13 * 11 {
			for c, std := range []float64{58, 57, 57.5} {
				wantDx.Row(i)[p*3+2-c] = float32(float64(own.Row(i)[c*13*11+p]) * (255 / std))
			}
		}
	}

	digests := map[string]bool{}
	for name, layout := range map[string]string{"said": ", layout: nchw", "found": ""} {
		spec := write(name+".yaml", fmt.Appendf(nil, preprocessSpec, layout))
		if err := lint(t, spec); err != nil {
			t.Fatal(err)
		}
		var scores []float64
		for _, threads := range []int{1, 2} {
			e, err := host.Load(spec, nil, builtin.Components(), host.Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(dir, fmt.Sprint(name, threads))
			d, err := e.TrainTo(ctx, host.TrainOptions{Out: out})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if d, err = host.Open(out, builtin.Components(), host.OpenOptions{Options: host.Options{Threads: threads}}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			for _, n := range []int{1, 96} {
				y, err := d.Model().Predict(ctx, guard.Rows(0, n))
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "predictions", y.Data, want[sdk.Output].Rows(0, n).Data)
			}
			dx, err := d.Model().(sdk.Differentiable).Gradient(ctx, guard, dy)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "gradients", dx.Data, wantDx.Data)
			r, err := d.Detect(ctx, guard)
			if err != nil {
				t.Fatal(err)
			}
			if scores != nil {
				equal(t, "scores", r.Score, scores)
			}
			scores = r.Score
			digests[d.Saved.Meta.Classifier.Digest] = true
		}
	}
	sum := sha256.Sum256(file)
	delete(digests, "sha256:"+hex.EncodeToString(sum[:]))
	if len(digests) != 2 { // channels first, found in the file or said of another
		t.Errorf("digests %v", digests)
	}

	out := filepath.Join(dir, "found1")
	for name, change := range map[string][2]string{
		"mean": {"mean: [104, 117, 123]", "mean: [104, 117, 124]"}, "channels": {"channels: bgr", "channels: rgb"},
	} {
		edited(t, out, change[0], change[1])
		if d, err := host.Open(out, builtin.Components()); err == nil {
			t.Errorf("opened with another %s: %v", name, d.Close())
		} else if !strings.Contains(err.Error(), "was made for another classifier: its digest is sha256:") {
			t.Errorf("another %s: %v", name, err)
		}
		edited(t, out, change[1], change[0])
	}
	d, err := host.Open(out, builtin.Components())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// lint is vaeguard lint --plugins.
func lint(t *testing.T, spec string) error {
	t.Helper()
	var out bytes.Buffer
	if code := cli.Run(context.Background(), builtin.Components(), []string{"lint", spec, "--plugins"}, nil, &out, &out); code != 0 {
		return fmt.Errorf("lint: exit status %d\n%s", code, out.String())
	}
	return nil
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v…, want %v…", what, got[:min(4, len(got))], want[:min(4, len(want))])
	}
}

// edited changes the spec of a saved detector, its digests with it.
func edited(t *testing.T, dir, old, new string) {
	t.Helper()
	saved, err := artifact.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(saved.Spec, []byte(old)) {
		t.Fatalf("no %q in\n%s", old, saved.Spec)
	}
	saved.Spec = bytes.ReplaceAll(saved.Spec, []byte(old), []byte(new))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := artifact.Save(dir, saved, false); err != nil {
		t.Fatal(err)
	}
}
