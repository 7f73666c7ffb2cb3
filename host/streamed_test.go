package host_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/launch"
)

// streamedCase is a file of rows and a spec that trains on them.
type streamedCase struct {
	source string // keys of data.train
	data   string // more of the section data
	model  string // more of the section classifier
	spec   string // vae, train, …
	rows   func(t *testing.T, dir string)
}

const (
	streamedRows = 45
	imageVAE     = "vae: {latent_dim: 2, encoder: [{flatten: {}}, {dense: {units: 6}}], decoder: [{dense: {units: 16}}, {reshape: {target_shape: [4, 4, 1]}}]}\n"
)

// pixels are byte images of 4×4 with labels.
func pixels() (x []uint8, labels []int) {
	r := rand.New(rand.NewPCG(7, 7))
	for i := range streamedRows {
		labels = append(labels, i%3)
		for j := range 16 {
			x = append(x, uint8(60*(i%3)+j+r.IntN(90)))
		}
	}
	return x, labels
}

func writeWith(t *testing.T, path string, write func(io.Writer) error) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func writeNPY(t *testing.T, path string, a dataset.Array) {
	t.Helper()
	writeWith(t, path, func(w io.Writer) error { return dataset.WriteNPY(w, a) })
}

func labelFile(t *testing.T, dir string) {
	_, labels := pixels()
	writeNPY(t, filepath.Join(dir, "y.npy"), dataset.Array{Shape: []int{len(labels)}, Data: labels})
}

// uint8NPY writes bytes, which WriteNPY has no type for.
func uint8NPY(t *testing.T, dir string) {
	x, _ := pixels()
	header := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 4, 4, 1), }", streamedRows)
	header += strings.Repeat(" ", 117-len(header)) + "\n"
	writeWith(t, filepath.Join(dir, "x.npy"), func(w io.Writer) error {
		_, err := w.Write(append([]byte("\x93NUMPY\x01\x00\x76\x00"+header), x...))
		return err
	})
	labelFile(t, dir)
}

func floatNPY(t *testing.T, dir string) {
	x, _ := pixels()
	data := make([]float32, len(x))
	for i, v := range x {
		data[i] = float32(v)/200 - .3
	}
	writeNPY(t, filepath.Join(dir, "x.npy"), dataset.Array{Shape: []int{streamedRows, 4, 4, 1}, Data: data})
	labelFile(t, dir)
}

func idxFiles(t *testing.T, dir string) {
	x, labels := pixels()
	head := func(kind byte, dims ...uint32) []byte {
		b := []byte{0, 0, 8, kind}
		for _, d := range dims {
			b = binary.BigEndian.AppendUint32(b, d)
		}
		return b
	}
	y := head(1, streamedRows)
	for _, l := range labels {
		y = append(y, byte(l))
	}
	for name, b := range map[string][]byte{"x": append(head(3, streamedRows, 4, 4), x...), "y": y} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func imageFolder(t *testing.T, dir string) {
	x, labels := pixels()
	for i, l := range labels {
		m := image.NewGray(image.Rect(0, 0, 4, 4))
		for j := range 16 {
			m.SetGray(j%4, j/4, color.Gray{Y: x[16*i+j]})
		}
		class := filepath.Join(dir, "images", fmt.Sprint("class", l))
		if err := os.MkdirAll(class, 0o700); err != nil {
			t.Fatal(err)
		}
		writeWith(t, filepath.Join(class, fmt.Sprintf("%03d.png", i)), func(w io.Writer) error { return png.Encode(w, m) })
	}
}

func table(t *testing.T, dir string) {
	var b strings.Builder
	b.WriteString("name,age,height,colour,label\n")
	r := rand.New(rand.NewPCG(3, 3))
	for i := range streamedRows {
		age := fmt.Sprint(20 + 10*(i%3) + r.IntN(15))
		if i%7 == 0 {
			age = ""
		}
		fmt.Fprintf(&b, "n%d,%s,%.3f,%s,%d\n", i, age, 150+r.Float64()*40, []string{"red", "green", "blue"}[r.IntN(3)], i%3)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.csv"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func parquetFile(t *testing.T, dir string) {
	b, err := os.ReadFile("../builtin/formats/testdata/flat.parquet")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "x.parquet"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var streamedCases = map[string]streamedCase{
	"bytes": {source: "file: x.npy, labels: y.npy, rescale: {scale: 0.00392156862745098}", rows: uint8NPY,
		spec: imageVAE + "detector: {method: vae, hidden_layers: [{name: dense_1, weight: 0.1, head: trained}]}\ntrain: {epochs: 3, batch_size: 8, input_noise: 0.1}\n"},
	"parts": {source: "file: x.npy, labels: y.npy, split: train, split_seed: 3, limit: 20, scale: standard", rows: uint8NPY,
		spec: imageVAE + "train: {epochs: 2, batch_size: 8, loss: {elbo: {cov_elbo: {cov_full: {shrinkage: 0.2}}}}}\n"},
	"floats": {source: "file: x.npy, labels: y.npy, range: [2, 43]", rows: floatNPY,
		spec: strings.Replace(imageVAE, "latent_dim: 2", "latent_dim: 2, normalize: minmax", 1) + "train: {epochs: 2, batch_size: 8, harden: {norm: linf, eps: 0.1, steps: 2}}\n"},
	"weighted": {source: "file: x.npy, labels: y.npy", rows: floatNPY,
		spec: imageVAE + "train: {epochs: 2, batch_size: 8, class_weight: balanced, harden: {norm: linf, eps: 0.1, steps: 1}}\n"},
	"differences": {source: "file: x.npy, labels: y.npy", rows: floatNPY, model: ", gradient: finite_difference", spec: imageVAE + "train: {epochs: 1, batch_size: 8}\n"},
	"surrogate":   {source: "file: x.npy, labels: y.npy", rows: floatNPY, model: ", gradient: surrogate, surrogate: {min_agreement: 0.1, epochs: 1}", spec: imageVAE + "train: {epochs: 1, batch_size: 8}\n"},
	"idx":         {source: "idx: x, labels: y", rows: idxFiles, spec: imageVAE + "train: {epochs: 2, batch_size: 8, loss: bce}\n"},
	"folder": {source: "folder: images", rows: imageFolder,
		spec: strings.Replace(imageVAE, "latent_dim: 2", "latent_dim: 2, normalize: standard", 1) + "train: {epochs: 2, batch_size: 8}\n"},
	"csv": {source: "file: x.csv, label: label, id: name, scale: standard", rows: table,
		data: "  columns: {age: {integer: true, missing: median}, height: {missing: mean}, colour: {categories: [red, green, blue], missing: most_frequent}}\n",
		spec: "vae: {latent_dim: 2, encoder: [{dense: {units: 6}}], decoder: [{dense: {units: 5}}]}\ntrain: {epochs: 2, batch_size: 8}\n"},
	"parquet": {source: "file: x.parquet, label: c, scale: standard", rows: parquetFile, data: "  columns: {a: {missing: 0}, b: {missing: mean}, u: {missing: median}, kind: {categories: [x, y], missing: x}}\n",
		spec: "vae: {latent_dim: 2, encoder: [{dense: {units: 6}}], decoder: [{dense: {units: 5}}]}\ntrain: {epochs: 2, batch_size: 2}\n"},
}

// write makes the spec of a case in dir, whose classifier is trained or, with
// config, ready.
func (c streamedCase) write(t *testing.T, dir string, stream bool, config []byte) string {
	t.Helper()
	classifier := "{plugin: mlp, config: {hidden: [5]}, train: {epochs: 1}}"
	if config != nil {
		classifier = "{plugin: mlp, config: " + string(config) + c.model + "}"
	}
	text := fmt.Sprintf("api_version: vaeguard/v1\nkind: Experiment\nname: streamed\nseed: 5\ndata:\n  train: {%s, stream: %t}\n%sclassifier: %s\n%sthreshold: {value: 1}\n",
		c.source, stream, c.data, classifier, c.spec)
	path := filepath.Join(dir, "streamed.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ready trains the classifier of a case in memory; the config names its weights.
func (c streamedCase) ready(t *testing.T, dir string) []byte {
	t.Helper()
	e, err := host.Load(c.write(t, dir, false, nil), nil, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "classifier")
	cl, err := e.StartClassifier(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Close(); err != nil {
		t.Fatal(err)
	}
	text, ok := launch.ReadFit(folder, nil)
	var config map[string]any
	if err := json.Unmarshal(text, &config); !ok || err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	config["weights"] = filepath.Join(folder, fmt.Sprint(config["weights"]))
	text, err = json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// weights trains the detector of a spec and gives its file.
func trainedWeights(t *testing.T, spec, out string, threads int) []byte {
	t.Helper()
	e, err := host.Load(spec, nil, builtin.Components(), host.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: out, Resume: true})
	if err != nil {
		t.Fatal(err)
	}
	streams := strings.Contains(string(e.Spec.Resolved()), "stream: true")
	rows, err := e.Rows(dataset.RoleTrain)
	if err != nil || streams != (rows.Stored != nil) || streams == (rows.X != nil) {
		t.Errorf("stream %t: in memory %t, in a file %t, %v", streams, rows.X != nil, rows.Stored != nil, err)
	}
	if err := errors.Join(d.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, "weights.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestStreamedTraining: rows that stay in their file give the weights that they
// give in memory, preparation and heads included, for any number of threads.
func TestStreamedTraining(t *testing.T) {
	for name, c := range streamedCases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.rows(t, dir)
			config := c.ready(t, dir)
			want := trainedWeights(t, c.write(t, dir, false, config), filepath.Join(dir, "memory"), 1)
			spec := c.write(t, dir, true, config)
			for _, threads := range []int{1, 3} {
				if got := trainedWeights(t, spec, filepath.Join(dir, fmt.Sprint("streamed", threads)), threads); !bytes.Equal(got, want) {
					t.Errorf("%d threads: the weights differ from those trained in memory", threads)
				}
			}
			left, err := filepath.Glob(filepath.Join(dir, ".vaeguard-rows-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestStreamedResume: a streamed training that is cut short ends with the bits of
// one that is not.
func TestStreamedResume(t *testing.T) {
	c := streamedCases["bytes"]
	dir := t.TempDir()
	c.rows(t, dir)
	config := c.ready(t, dir)
	want := trainedWeights(t, c.write(t, dir, false, config), filepath.Join(dir, "memory"), 1)
	spec, out := c.write(t, dir, true, config), filepath.Join(dir, "resumed")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stages []string
	e, err := host.Load(spec, nil, builtin.Components(), host.Options{Progress: func(p host.Progress) {
		if !slices.Contains(stages, p.Stage) {
			stages = append(stages, p.Stage)
		}
		if p.Stage == host.StageDetector && p.Epoch == 2 {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	var cut *host.InterruptedError
	if _, err := e.TrainTo(ctx, host.TrainOptions{Out: out}); !errors.As(err, &cut) {
		t.Fatalf("training ends with %v, want it interrupted", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if stages[0] != "read" {
		t.Errorf("stages %v, want read first", stages)
	}
	if got := trainedWeights(t, spec, out, 2); !bytes.Equal(got, want) {
		t.Error("the weights differ from those trained in memory without an interruption")
	}
}

// TestStreamedFaults: what cannot be is told by lint, and a bad row with its
// place.
func TestStreamedFaults(t *testing.T) {
	dir := t.TempDir()
	c := streamedCases["floats"]
	c.rows(t, dir)
	load := func(path string) error {
		_, err := host.Load(path, nil, builtin.Components(), host.Options{})
		return err
	}
	if err := load(c.write(t, dir, true, nil)); err == nil || !strings.Contains(err.Error(), "classifier.train needs them in memory") {
		t.Errorf("a classifier on streamed rows: %v", err)
	}
	path := c.write(t, dir, true, []byte("{hidden: [5]}"))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), "classifier:", "  calibration: {file: x.npy, range: [43, 45], stream: true}\nclassifier:", 1)
	if err := os.WriteFile(path, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load(path); err == nil || !strings.Contains(err.Error(), "the rows of data.calibration are needed in memory") {
		t.Errorf("streamed calibration rows: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "x.npy"))
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(b[len(b)-4*16*3:], 0x7fc00000) // NaN, three rows before the end
	if err := os.WriteFile(filepath.Join(dir, "x.npy"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(c.write(t, dir, true, []byte("{hidden: [5]}")), nil, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Rows(dataset.RoleTrain); err == nil || !strings.Contains(err.Error(), "x.npy: row 42: column 0 is NaN") {
		t.Errorf("a bad row: %v", err)
	}
}

// TestTooLargeForMemory: rows of more numbers than memory takes stay in their
// file without a word of the spec, and lint says what they cannot be used for.
func TestTooLargeForMemory(t *testing.T) {
	const rows, width = 1 << 20, 1025
	dir := t.TempDir()
	header := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d), }", rows, width)
	header += strings.Repeat(" ", 117-len(header)) + "\n"
	writeWith(t, filepath.Join(dir, "x.npy"), func(w io.Writer) error {
		_, err := w.Write([]byte("\x93NUMPY\x01\x00\x76\x00" + header))
		return errors.Join(err, w.(*os.File).Truncate(128+rows*width)) // a hole
	})
	writeNPY(t, filepath.Join(dir, "y.npy"), dataset.Array{Shape: []int{rows}, Data: make([]float32, rows)})
	c := streamedCase{source: "file: x.npy, labels: y.npy", spec: "vae: {latent_dim: 2, encoder: [{dense: {units: 6}}], decoder: [{dense: {units: 1025}}]}\ntrain: {epochs: 1}\n"}
	if _, err := host.Load(c.write(t, dir, false, nil), nil, builtin.Components(), host.Options{}); err == nil || !strings.Contains(err.Error(), "more than 1073741824 numbers") {
		t.Errorf("a classifier on them: %v", err)
	}
	e, err := host.Load(c.write(t, dir, false, []byte("{hidden: [5]}")), nil, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if est := e.Estimate(nil); !est.Streamed || est.Steps == 0 {
		t.Errorf("the estimate is %+v, want streamed rows", est)
	}
	path := c.write(t, dir, false, []byte("{hidden: [5]}"))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for keys, want := range map[string]string{"": "1048576 rows of 1025 are more than 1073741824 numbers, and are needed in memory: limit or range of at most 1047552 bounds them", ", limit: 100": ""} {
		more := strings.Replace(string(text), "classifier:", "  calibration: {file: x.npy, labels: y.npy"+keys+"}\n  allow_overlap: true\nclassifier:", 1)
		if err := os.WriteFile(path, []byte(more), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := host.Load(path, nil, builtin.Components(), host.Options{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), "data.calibration: "+want)) {
			t.Errorf("calibration%s: %v, want %q", keys, err, want)
		}
	}
}
