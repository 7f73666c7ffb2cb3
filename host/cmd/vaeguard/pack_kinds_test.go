package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// packSpec is a spec of one epoch; CLASSIFIER and RESHAPE are filled in.
const packSpec = `
api_version: vaeguard/v1
kind: Experiment
name: moved
seed: 3
data:
  train: {dataset: digits, split: train, limit: 100 RESHAPE}
  calibration: {dataset: digits, split: calibration, limit: 50 RESHAPE}
classifier: CLASSIFIER
vae:
  latent_dim: 2
  encoder: [flatten]
  decoder: [{dense: {units: 64, activation: sigmoid}} LAST]
train: {epochs: 1}
threshold: {fpr: 0.1}
`

const modelPy = `
import os
import numpy as np
import vaeguard
import part


class Linear(vaeguard.Classifier):
    name, input_shape, num_classes, lo, hi = "linear", (64,), 10, 0, 1
    w = part.weights()

    def predict(self, x):
        return x @ self.w

    def gradient(self, x, dy):
        return dy @ self.w.T


vaeguard.serve(Linear())
`

const partPy = `
import os
import numpy as np


def weights():
    return np.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "w.npy"))
`

// packKinds are the ways to have a classifier. Each puts its files into dir and
// gives the section classifier. needs is part of what the pack says that the
// other machine must have, "" for nothing.
var packKinds = map[string]struct {
	make  func(t *testing.T, dir string) string
	needs string
	slow  bool
}{
	"mlp": {make: func(*testing.T, string) string {
		return `{plugin: mlp, config: {hidden: [8], range: [0, 1]}, train: {epochs: 1}}`
	}},
	"mlp of a file": {make: func(t *testing.T, dir string) string {
		trainMLP(t, filepath.Join(dir, "weights"))
		return `{plugin: mlp, config: {hidden: [8], range: [0, 1], classes: 10, input_shape: [64], weights: weights/weights.safetensors}}`
	}},
	"cnn": {make: func(*testing.T, string) string {
		return `{plugin: cnn, config: {filters: [2], hidden: [], range: [0, 1]}, train: {epochs: 1}}`
	}},
	"onnx": {make: func(t *testing.T, dir string) string {
		writeONNX(t, filepath.Join(dir, "nets", "net.onnx"), "data/w.bin")
		return `{plugin: onnx, config: {model: nets/net.onnx, input_range: [0, 1]}}`
	}},
	"onnx by an absolute path": {make: func(t *testing.T, dir string) string {
		writeONNX(t, filepath.Join(dir, "nets", "net.onnx"), "data/w.bin")
		return `{plugin: onnx, config: {model: ` + filepath.Join(dir, "nets", "net.onnx") + `, input_range: [0, 1]}}`
	}},
	"folder of a program": {needs: "for which the program of plugin mlp was built", slow: true, make: func(t *testing.T, dir string) string {
		plugin := filepath.Join(dir, "plug")
		buildMLP(t, filepath.Join(plugin, "classifier-mlp"))
		manifest, err := os.ReadFile("../../../plugins/classifier-mlp/plugin.yaml")
		if err != nil {
			t.Fatal(err)
		}
		place(t, filepath.Join(plugin, "plugin.yaml"), manifest, 0o644)
		vaeguard(t, 0, "plugin", "lock", plugin, "--file", filepath.Join(dir, "vaeguard.lock"))
		return `{path: plug, config: {hidden: [8], range: [0, 1]}, train: {epochs: 1}}`
	}},
	"program without a folder": {needs: "for which the program of the classifier was built", slow: true, make: func(t *testing.T, dir string) string {
		buildMLP(t, filepath.Join(dir, "classifier-mlp"))
		trainMLP(t, filepath.Join(dir, "w"))
		return `{path: ./classifier-mlp, config: {hidden: [8], range: [0, 1], classes: 10, input_shape: [64], weights: w/weights.safetensors}}`
	}},
	"folder of Python": {needs: "the program python3", slow: true, make: func(t *testing.T, dir string) string {
		pythonFolder(t, filepath.Join(dir, "plug"))
		return `{path: plug}`
	}},
	"Python that is found by name": {needs: "the program python3", slow: true, make: func(t *testing.T, dir string) string {
		pythonFolder(t, filepath.Join(dir, "plugins", "linear"))
		t.Setenv("VAEGUARD_PLUGIN_DIR", filepath.Join(dir, "plugins"))
		return `{plugin: linear}`
	}},
	"the spec's own folder": {needs: "the program python3", slow: true, make: func(t *testing.T, dir string) string {
		pythonFolder(t, dir)
		return `{path: .}`
	}},
	"command": {needs: "besides the files that its spec names", slow: true, make: func(t *testing.T, dir string) string {
		pythonFolder(t, filepath.Join(dir, "src"))
		whole := strings.Replace(modelPy, "import part", partPy, 1)
		place(t, filepath.Join(dir, "src", "model.py"), []byte(strings.Replace(strings.Replace(whole, "part.weights()", "np.load(sys.argv[1])", 1), "import os", "import os, sys", 1)), 0o644)
		return `{command: [python3, src/model.py, src/data/w.npy]}`
	}},
	"server": {needs: "the server http://127.0.0.1:", make: func(t *testing.T, _ string) string {
		c := mlp.New()
		conf := sdk.Config{JSON: []byte(`{"hidden": [8], "range": [0, 1], "classes": 10, "input_shape": [64], "weights": "weights.safetensors"}`), BaseDir: t.TempDir()}
		trainMLP(t, conf.BaseDir)
		if err := c.Configure(t.Context(), conf); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(&oiptest.Model{Classifier: c})
		t.Cleanup(server.Close)
		return `{plugin: oip, config: {url: "` + server.URL + `", model: model}}`
	}},
}

// writeRows writes rows of the digits' range.
func writeRows(t *testing.T, file string, image bool) {
	t.Helper()
	shape := tensor.Shape{12, 64}
	if image {
		shape = tensor.Shape{12, 8, 8, 1}
	}
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 12*64)
	for i := range x {
		x[i] = r.Float32()
	}
	var b bytes.Buffer
	if err := dataset.WriteNPZ(&b, []dataset.Array{{Name: "x", Shape: shape, Data: x}}); err != nil {
		t.Fatal(err)
	}
	place(t, file, b.Bytes(), 0o644)
}

// trainMLP leaves weights.safetensors in dir.
func trainMLP(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := mlp.New()
	if err := c.Configure(t.Context(), sdk.Config{JSON: []byte(`{"hidden": [8], "range": [0, 1]}`), InputShape: tensor.Shape{64}, Classes: 10}); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	x, labels := tensor.Batch(40, tensor.Shape{64}), make([]int, 40)
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	for i := range labels {
		labels[i] = i % 10
	}
	if _, err := c.Fit(t.Context(), sdk.TrainingData{X: x, Labels: labels}, sdk.FitOptions{JSON: []byte(`{"epochs": 1}`), OutputDir: dir, Progress: func(sdk.FitProgress) {}}); err != nil {
		t.Fatal(err)
	}
}

func buildMLP(t *testing.T, out string) {
	t.Helper()
	if b, err := exec.Command("go", "build", "-o", out, "../../../plugins/classifier-mlp").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
}

// pythonFolder is a plugin of two modules and a file of weights, and things that
// do not belong to it.
func pythonFolder(t *testing.T, dir string) {
	t.Helper()
	python := ""
	for _, p := range []string{os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3"} {
		if found, err := exec.LookPath(p); err == nil && exec.Command(found, "-c", "import grpc, numpy").Run() == nil {
			python = found
			break
		}
	}
	if python == "" {
		if os.Getenv("VAEGUARD_PYTHON_TESTS") == "1" {
			t.Fatal("no Python with grpc and numpy")
		}
		t.Skip("no Python with grpc and numpy; VAEGUARD_PYTHON_TESTS=1 makes this a failure")
	}
	bin := t.TempDir()
	place(t, filepath.Join(bin, "python3"), []byte("#!/bin/sh\nexec '"+python+"' \"$@\"\n"), 0o755)
	packages, err := filepath.Abs("../../../sdk/python")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("PYTHONPATH", packages)
	place(t, filepath.Join(dir, "plugin.yaml"), []byte("name: linear\nversion: 1.0.0\ncommand: [python3, model.py]\nfiles: [model.py, part.py]\n"), 0o644)
	place(t, filepath.Join(dir, "model.py"), []byte(modelPy), 0o644)
	place(t, filepath.Join(dir, "part.py"), []byte(partPy), 0o644)
	place(t, filepath.Join(dir, ".git", "config"), []byte("original-place"), 0o644)
	place(t, filepath.Join(dir, "__pycache__", "old.pyc"), []byte("original-place"), 0o644)
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	head := "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 10), }"
	head += strings.Repeat(" ", 117-len(head)) + "\n"
	_ = binary.Write(&b, binary.LittleEndian, uint16(len(head)))
	_, _ = io.WriteString(&b, head)
	b.Write(linearBytes())
	place(t, filepath.Join(dir, "data", "w.npy"), b.Bytes(), 0o644)
}

// linearBytes are the weights of y = x·w for 64 features and 10 classes.
func linearBytes() []byte {
	r := rand.New(rand.NewPCG(5, 6))
	var raw []byte
	for range 640 {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(r.NormFloat64())))
	}
	return raw
}

// writeONNX writes y = x·w, with w in a file beside the model.
func writeONNX(t *testing.T, file, beside string) {
	t.Helper()
	bytesField := func(b []byte, num protowire.Number, m []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), m)
	}
	text := func(b []byte, num protowire.Number, s string) []byte { return bytesField(b, num, []byte(s)) }
	number := func(b []byte, num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
	}
	w := text(number(number(number(nil, 1, 64), 1, 10), 2, 1), 8, "w")
	w = bytesField(number(w, 14, 1), 13, text(text(nil, 1, "location"), 2, beside))
	node := text(text(text(text(nil, 1, "x"), 1, "w"), 2, "y"), 4, "MatMul")
	port := func(name string, size uint64) []byte {
		shape := bytesField(bytesField(nil, 1, text(nil, 2, "n")), 1, number(nil, 1, size))
		return bytesField(text(nil, 1, name), 2, bytesField(nil, 1, bytesField(number(nil, 1, 1), 2, shape)))
	}
	graph := bytesField(bytesField(bytesField(bytesField(nil, 1, node), 5, w), 11, port("x", 64)), 12, port("y", 10))
	model := bytesField(number(nil, 1, 8), 8, number(text(nil, 1, ""), 2, 13))
	place(t, file, bytesField(model, 7, graph), 0o644)
	place(t, filepath.Join(filepath.Dir(file), filepath.FromSlash(beside)), linearBytes(), 0o644)
}
