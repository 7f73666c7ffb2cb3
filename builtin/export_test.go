package builtin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// flatGuards and imageGuards are what the specs below begin with: digits as 64 numbers, and as
// pictures with two networks of every kind of layer.
const (
	flatGuards = `
data:
  train:       {dataset: digits, split: train, range: [0, 300]}
  calibration: {dataset: digits, split: calibration}
classifier: {plugin: mlp, config: {hidden: [24]}, train: {epochs: 4}}
vae:
  latent_dim: 6
  encoder: [{dense: {units: 24, activation: gelu}}, layer_normalization]
  decoder: [{dense: {units: 24, activation: selu}}, {dense: {units: 64, activation: sigmoid}}]
train: {loss: {adversarial: {w_model: 1}}, epochs: 2, batch_size: 64}
`
	imageGuards = `
data:
  train:       {dataset: digits, split: train, range: [0, 200], reshape: [8, 8, 1]}
  calibration: {dataset: digits, split: calibration, reshape: [8, 8, 1]}
  prepare: [{crop: {height: 7, width: 6}}, {resize: {height: 8, width: 8, method: bicubic}}, {color: rgb}, {rescale: {scale: 2, offset: -0.5}}]
classifier: {plugin: cnn, config: {filters: [4], hidden: [16], scale: standard}, train: {epochs: 3}}
vae:
  latent_dim: 6
  normalize: standard
  log_var: softplus
  encoder:
    - conv2d: {filters: 6, kernel_size: 3, strides: 2, padding: same, activation: silu}
    - residual: {layers: [{conv2d: {filters: 6, kernel_size: 3, padding: same}}, batch_normalization], activation: relu}
    - average_pooling2d
  decoder:
    - dense: {units: 32, activation: elu}
    - reshape: {target_shape: [2, 2, 8]}
    - up_sampling2d: {interpolation: bilinear}
    - conv2d_transpose: {filters: 3, kernel_size: 3, strides: 2, padding: same}
train: {loss: {adversarial: {w_model: 1}}, epochs: 2, batch_size: 64}
`
)

// exported are the guards that TestExport exports. The first part of a name is where
// the spec begins.
var exported = map[string]string{
	"flat kl":          `detector: {method: vae, samples: 3, score: kl}`,
	"flat sharp":       `detector: {method: vae, samples: 2, score: [symmetric_kl, {js: {temperature: 3}}], fusion: fisher, temperature: 0.7, probability_clip: 1e-6}`,
	"flat tops":        `detector: {method: vae, samples: 2, score: [ce_top, margin, cross_entropy], fusion: cauchy}`,
	"flat distances":   `detector: {method: vae, samples: 2, score: [{reconstruction_error: {norm: l1}}, squeeze_l1, prediction_l1, reverse_kl], fusion: tippett}`,
	"flat hidden":      `detector: {method: vae, samples: 2, score: [kl, hidden_kl], fusion: cauchy, hidden_layers: [{name: dense_0, weight: 0.5, units: 5}]}`,
	"flat zero noise":  `detector: {method: vae, samples: 0, score: kl}`,
	"flat ae":          `detector: {method: ae}`,
	"flat magnet":      `detector: {method: magnet}`,
	"flat max_softmax": `detector: {method: max_softmax}`,
	"flat student":     `detector: {method: distillation, student: {layers: [{dense: {units: 12, activation: tanh}}]}}`,
	"flat standard":    `detector: {method: vae, samples: 2, score: kl}`,
	"image kl":         `detector: {method: vae, samples: 3, score: [kl, ce_top], fusion: cauchy}`,
	"image by class":   "detector: {method: vae, samples: 2, score: kl}\nthreshold: {fpr: 0.1, by: predicted_class, min_rows: 10}",
	"image bounded":    "detector: {method: vae, samples: 2, score: kl}\nthreshold: {fpr: 0.1, class_fpr: 0.12, min_rows: 10}",
	"image careful":    "detector: {method: vae, samples: 3, score: kl, correct: {loss: 0.02}}\nthreshold: {fpr: 0.3}",
}

// TestExport: a guard exported as ONNX says what Detect says, whether the classifier
// is in the graph or between two: run by the importer of the plugin onnx, in float32,
// and by ONNX Runtime where there is one.
func TestExport(t *testing.T) {
	python := pythonWith(t, "onnxruntime")
	for name, text := range exported {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := exportGuard(t, dir, name, text)
			rows, err := d.Experiment.Rows(dataset.RoleCalibration)
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.Detector.Detect(t.Context(), rows.X, detect.Include{Probabilities: true, ProbabilitiesReconstructed: true})
			if err != nil {
				t.Fatal(err)
			}
			raw := rawDigits(t, d, rows)
			whole, err := d.Export(t.Context(), host.ExportOptions{Classifier: true})
			if err != nil {
				t.Fatal(err)
			}
			parts, err := d.Export(t.Context(), host.ExportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			compareScores(t, importedScores(t, whole.Guard, raw, d), want, 20*closeness(d))
			if python != "" {
				compareRuntime(t, python, dir, d, whole, parts, raw, want)
			}
		})
	}
}

func exportGuard(t *testing.T, dir, name, text string) *host.Detector {
	t.Helper()
	start := flatGuards
	if strings.HasPrefix(name, "image") {
		start = imageGuards
	}
	full := "api_version: vaeguard/v1\nkind: Experiment\nname: export\nseed: 5\n" + start + text
	if !strings.Contains(text, "threshold") {
		full += "\nthreshold: {fpr: 0.1}"
	}
	if strings.Contains(text, "feature_squeezing") {
		full = strings.Replace(full, "{hidden: [24]}", "{hidden: [24], range: [0, 1]}", 1)
	}
	if name == "flat standard" {
		full = strings.ReplaceAll(full, "dataset: digits,", "dataset: digits, scale: standard,")
	}
	if strings.Contains(name, "ae") || strings.Contains(name, "magnet") {
		full = strings.Replace(full, "layer_normalization]", "layer_normalization, {dense: {units: 6}}]", 1)
	}
	for _, without := range []string{"max_softmax", "student"} {
		if strings.Contains(name, without) {
			lo, hi := strings.Index(full, "vae:\n"), strings.Index(full, "train: {loss")
			full = full[:lo] + full[hi:]
		}
	}
	if strings.Contains(name, "max_softmax") {
		full = strings.Replace(full, "train: {loss: {adversarial: {w_model: 1}}, epochs: 2, batch_size: 64}", "", 1)
	}
	return trainFor(t, dir, full)
}

// trainFor trains a guard and opens it.
func trainFor(t *testing.T, dir, text string) *host.Detector {
	t.Helper()
	spec := filepath.Join(dir, "spec.yaml")
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(spec, nil, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	out := filepath.Join(dir, "guard")
	made, err := e.TrainTo(t.Context(), host.TrainOptions{Out: out})
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := host.Open(out, builtin.Components())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// rawDigits are the calibration rows before their preparation.
func rawDigits(t *testing.T, d *host.Detector, rows *dataset.Data) *tensor.Tensor {
	t.Helper()
	e := d.Experiment
	src := *e.Spec.Data.Of(dataset.RoleCalibration)
	src.Reshape = nil
	raw, err := dataset.Open(dataset.Source{Dataset: src.Dataset, Split: src.Split}, ".", builtin.Components().Datasets, builtin.Components().Formats)
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.Prepare(raw.X.Reshape(append([]int{raw.X.N()}, d.Signature().Shape...)...))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fmt.Append(nil, again.X.Data), fmt.Append(nil, rows.X.Data)) {
		t.Fatal("the raw rows do not become the prepared ones")
	}
	return raw.X.Reshape(append([]int{raw.X.N()}, d.Signature().Shape...)...)
}

// importedScores are the scores as the importer computes them.
func importedScores(t *testing.T, file []byte, raw *tensor.Tensor, d *host.Detector) []float64 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "guard.onnx")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	config := map[string]any{"model": path, "output": "instance_score", "kind": "logits", "max_batch": raw.N()}
	if len(raw.Example()) == 3 {
		config["layout"] = "nhwc"
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c := onnx.New()
	if err := c.(sdk.Configurable).Configure(t.Context(), sdk.Config{JSON: text, InputShape: raw.Example()}); err != nil {
		t.Fatal(err)
	}
	y, err := c.Predict(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, raw.N())
	for i := range out {
		out[i] = float64(y.Row(i)[1]) // a column is the second of two classes
	}
	return out
}

// closeness is how near scores are for equal, relative to 1 + |score|: a fusion ranks
// them among the calibration rows, between which a rounding can count for more.
func closeness(d *host.Detector) float64 {
	if d.Options().Fusion != detect.NoFusion {
		return 1e-3
	}
	return 1e-4
}

func compareScores(t *testing.T, got []float64, want *detect.Result, tolerance float64) {
	t.Helper()
	for i, w := range want.Score {
		if d := math.Abs(got[i] - w); !(d <= tolerance*(1+math.Abs(w))) {
			t.Fatalf("row %d has score %v, want %v", i, got[i], w)
		}
	}
}

// runtimeScript runs a graph by ONNX Runtime, on arrays of a folder, and leaves its
// results there, and prints them.
const runtimeScript = `
import json, os, sys
import numpy as np, onnxruntime as ort
folder, name = sys.argv[1:]
s = ort.InferenceSession(folder + "/" + name, providers=["CPUExecutionProvider"])
feed = {i.name: np.load(folder + "/" + i.name + ".npy") for i in s.get_inputs()}
names = [o.name for o in s.get_outputs()]
out = dict(zip(names, s.run(names, feed)))
for k, v in out.items():
    np.save(folder + "/" + k + ".npy", v)
json.dump({k: v.tolist() for k, v in out.items() if k != "rows"}, sys.stdout)
`

// verdicts is what a graph answers.
type verdicts struct {
	Flag                                []int     `json:"is_adversarial"`
	Score                               []float64 `json:"instance_score"`
	Predicted, Reconstructed, Corrected []int
}

func runGraph(t *testing.T, python, dir, name string, file []byte) (v verdicts) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), file, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", runtimeScript, dir, name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, stderr.String())
	}
	if name != "before.onnx" {
		if err := json.Unmarshal(out, &v); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func writeArray(t *testing.T, path string, x *tensor.Tensor) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // hidden/NAME.npy
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dataset.WriteNPY(f, dataset.Array{Shape: x.Shape, Data: x.Data}), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func compareRuntime(t *testing.T, python, dir string, d *host.Detector, whole, parts *host.Exported, raw *tensor.Tensor, want *detect.Result) {
	t.Helper()
	writeArray(t, filepath.Join(dir, "x.npy"), raw)
	got := map[string]verdicts{"whole": runGraph(t, python, dir, "guard.onnx", whole.Guard)}
	runGraph(t, python, dir, "before.onnx", parts.Before)
	rows, err := dataset.Read(filepath.Join(dir, "rows.npy"), builtin.Components().Formats, dataset.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{sdk.Output}
	for _, h := range d.Options().Hidden {
		names = append(names, sdk.HiddenPrefix+h.Name)
	}
	answers, _, err := oracle.AsForwarder(d.Model()).Forward(t.Context(), rows.X, names...)
	if err != nil {
		t.Fatal(err)
	}
	for name, y := range answers {
		writeArray(t, filepath.Join(dir, name+".npy"), y)
	}
	got["after"] = runGraph(t, python, dir, "after.onnx", parts.After)
	kept := 0 // rows whose correction is held back
	defer func() {
		if d.State().Correction != nil && kept == 0 {
			t.Error("no row is held back from correction: the guard shows nothing")
		}
	}()
	for _, part := range []string{"whole", "after"} {
		g := got[part]
		compareScores(t, g.Score, want, closeness(d))
		for i, w := range want.Score {
			tie := math.Abs(w-d.Threshold().Value) <= 1e-4*(1+math.Abs(w))
			if c := d.State().Correction; c != nil { // the least margin is that of a calibration row
				q, p := want.ProbabilitiesReconstructed.Row(i), want.Predicted[i]
				margin := math.Log(float64(q[want.Reconstructed[i]]) / float64(q[p]))
				tie = tie || math.Abs(margin-c.Least[p]) <= 1e-4*(1+math.Abs(margin))
				if want.Adversarial[i] && want.Corrected[i] != want.Reconstructed[i] {
					kept++
				}
			}
			if (g.Flag[i] == 1) != want.Adversarial[i] && !tie {
				t.Errorf("%s: row %d is flagged: %d, want %v", part, i, g.Flag[i], want.Adversarial[i])
			}
			if g.Predicted[i] != want.Predicted[i] || g.Reconstructed[i] != want.Reconstructed[i] || g.Corrected[i] != want.Corrected[i] && !tie {
				t.Errorf("%s: row %d has classes %d, %d, %d, want %d, %d, %d", part, i, g.Predicted[i], g.Reconstructed[i], g.Corrected[i],
					want.Predicted[i], want.Reconstructed[i], want.Corrected[i])
			}
		}
	}
}

// pythonWith is a Python that has a module; "" where there is none.
func pythonWith(t *testing.T, module string) string {
	t.Helper()
	for _, p := range []string{os.Getenv("VAEGUARD_KERAS_PYTHON"), os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3"} {
		if p != "" && exec.Command(p, "-c", "import "+module).Run() == nil {
			return p
		}
	}
	if os.Getenv("VAEGUARD_PYTHON_TESTS") != "" {
		t.Fatal("no Python with " + module)
	}
	return ""
}

// TestExportTable: columns that are categories, by number, and missing ones, NaN, are
// encoded inside of the graph as the door encodes them.
func TestExportTable(t *testing.T) {
	dir := t.TempDir()
	var table strings.Builder
	table.WriteString("age,colour,height,label\n")
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		colour := []string{"red", "green", "blue"}[r.IntN(3)]
		age := fmt.Sprint(20 + r.IntN(50))
		if r.IntN(10) == 0 {
			age = ""
		}
		fmt.Fprintf(&table, "%s,%s,%.3f,%d\n", age, colour, 150+40*r.Float64(), i%2)
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.csv"), []byte(table.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	text := `api_version: vaeguard/v1
kind: Experiment
name: table
seed: 5
data:
  train:       {file: rows.csv, label: label, range: [0, 250]}
  calibration: {file: rows.csv, label: label, range: [250, 400]}
  columns: {age: {missing: median}, colour: {categories: [red, green, blue]}}
  prepare: [standard]
classifier: {plugin: mlp, config: {hidden: [8]}, train: {epochs: 3}}
vae: {latent_dim: 3, encoder: [{dense: {units: 8}}], decoder: [{dense: {units: 8, activation: tanh}}, {dense: {units: 5}}]}
detector: {method: vae, samples: 2, score: kl}
train: {loss: {adversarial: {w_model: 1}}, epochs: 2}
threshold: {fpr: 0.1}
`
	d := trainFor(t, dir, text)
	raw := tensor.From([]float32{30, 0, 160, 41, 2, 150, float32(math.NaN()), 1, 181, 65, 1, 170}, 4, 3)
	want, err := d.Detect(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	e, err := d.Export(t.Context(), host.ExportOptions{Classifier: true})
	if err != nil {
		t.Fatal(err)
	}
	if python := pythonWith(t, "onnxruntime"); python != "" {
		writeArray(t, filepath.Join(dir, "x.npy"), raw)
		compareScores(t, runGraph(t, python, dir, "guard.onnx", e.Guard).Score, want, closeness(d))
	}
}

// TestExportRefused: what has no form in ONNX is named.
func TestExportRefused(t *testing.T) {
	d := exportGuard(t, t.TempDir(), "flat max_softmax", "detector: {method: feature_squeezing, bit_depth: 4, score: squeeze_l1}")
	if _, err := d.Export(t.Context(), host.ExportOptions{}); err == nil || !strings.Contains(err.Error(), "method feature_squeezing has no form in ONNX") {
		t.Errorf("feature squeezing: %v", err)
	}
	for _, s := range builtin.Components().Scores.Entries() {
		if _, ok := s.Default.(detect.GraphedScore); !ok {
			t.Errorf("score %s cannot be exported", s.Name)
		}
	}
}
