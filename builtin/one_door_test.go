package builtin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var (
	doorSpecs = flag.Int("door.specs", 12, "random specs that TestOneDoor makes")
	doorSeed  = flag.Uint64("door.seed", 1, "seed of the first")
)

// TestOneDoor: a row means the same to every reader. For random specs, which
// together have each step of the preparation with each format that can hold their
// rows, the scores of the calibration rows are the same bits whether train scored
// them, or calibrate, detect, evaluate, the library or Python did, from whatever
// format; and what attack writes is judged by detect as attack judged it.
func TestOneDoor(t *testing.T) {
	python, program := pythonClient(t)
	covered := map[string]int{}
	specs := *doorSpecs
	if testing.Short() {
		specs = min(specs, 4)
	}
	for i := range specs {
		seed := *doorSeed + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			c := newTableCase(r)
			if r.IntN(2) == 0 {
				c = newImageCase(r)
			}
			w := &doorWalk{c: c, r: r, dir: t.TempDir(), python: python, program: program}
			w.run(t)
			for _, s := range c.steps {
				for _, f := range w.formats {
					covered[s+" × "+f]++
				}
			}
		})
	}
	if specs < 100 {
		return
	}
	var pairs []string
	for k, n := range covered {
		pairs = append(pairs, fmt.Sprintf("%s: %d", k, n))
	}
	slices.Sort(pairs)
	t.Logf("%d pairs of step and format:\n%s", len(pairs), strings.Join(pairs, "\n"))
	for _, want := range []string{
		"categories × csv", "categories × parquet", "categories × jsonl", "categories × arrow", "missing × csv", "missing × arrow", "missing × parquet", "missing × jsonl",
		"rescale × npy", "rescale × folder", "standard × parquet", "standard × folder", "resize × folder", "resize × npy", "color × folder", "color × npy", "layout × npy", "layout × folder",
	} {
		if covered[want] == 0 {
			t.Errorf("no spec has %s", want)
		}
	}
}

// doorCase is one random spec and its rows, in three parts of n: train,
// calibration and test.
type doorCase struct {
	spec    string              // with %s for the sources of train, calibration and test
	steps   []string            // of its preparation
	formats []string            // that can hold its rows
	named   bool                // its columns have names
	trained func(format string) // says which format train's rows have
	write   func(dir, format string, from, to int, label bool) (path, source string, err error)
	raw     func(s signature.Signature, from, to int) *tensor.Tensor // as train's file had them; nil where rows have no one shape
}

// partRows are the rows of each part.
const partRows = 40

// doorWalk walks the rows of one case through every reader.
type doorWalk struct {
	c       *doorCase
	r       *rand.Rand
	dir     string
	python  string // of Python's client, "" for none
	program string // that it asks
	sig     signature.Signature
	formats []string
}

func (w *doorWalk) run(t *testing.T) {
	train := w.c.formats[w.r.IntN(len(w.c.formats))]
	w.c.trained(train)
	var sources []any
	for part := range 3 {
		_, source, err := w.c.write(w.dir, train, part*partRows, (part+1)*partRows, true)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source)
	}
	spec := filepath.Join(w.dir, "spec.yaml")
	text := fmt.Sprintf(w.c.spec, sources...)
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Logf("%s: rows of train as %s\n%s", t.Name(), train, text)
		}
	}()
	guard := filepath.Join(w.dir, "guard")
	w.cli(t, "lint", spec)
	w.cli(t, "train", spec, "--out", guard, "--quiet")
	want := calibrationScores(t, guard)
	d, err := host.Open(guard, builtin.Components())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	chosen := w.c.formats[w.r.IntN(len(w.c.formats))] // which the verbs are given
	for _, f := range w.c.formats {
		path, _, err := w.c.write(w.dir, f, partRows, 2*partRows, false)
		if err != nil {
			t.Fatal(err)
		}
		w.formats = append(w.formats, f)
		w.readers(t, d, f, path, want)
		if f == chosen {
			w.verbs(t, guard, f, path, want)
		}
	}
	w.library(t, d, want)
	w.evaluate(t, guard, train, want)
	w.attack(t, guard)
	w.client(t, guard, want)
}

// cli runs the program.
func (w *doorWalk) cli(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Run(t.Context(), builtin.Components(), args, strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatalf("vaeguard %s: exit %d: %s", strings.Join(args, " "), code, errs.String())
	}
	return out.String()
}

// verdict is a line of detect's jsonl.
type verdict struct {
	Score     float64 `json:"instance_score"`
	Predicted int     `json:"predicted"`
	Error     string  `json:"error"`
}

func (w *doorWalk) verdicts(t *testing.T, guard, path string, extra ...string) []verdict {
	t.Helper()
	out := w.cli(t, append([]string{"detect", guard, "--data", path, "--format", "jsonl"}, extra...)...)
	var list []verdict
	for line := range strings.Lines(out) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Error != "" {
			t.Fatalf("%s: %v", line, err)
		}
		list = append(list, v)
	}
	return list
}

func (w *doorWalk) detect(t *testing.T, guard, path string, extra ...string) []float64 {
	t.Helper()
	var out []float64
	for _, v := range w.verdicts(t, guard, path, extra...) {
		out = append(out, v.Score)
	}
	return out
}

func calibrationScores(t *testing.T, guard string) []float64 {
	t.Helper()
	a, err := dataset.ReadNPYFile(filepath.Join(guard, "calibration.npy"))
	if err != nil {
		t.Fatal(err)
	}
	return a.Data.([]float64)
}

// header is what a format's readers must be told.
func header(format string) (o host.ReadOptions, flags []string) {
	if format == "csv without header" {
		return host.ReadOptions{Header: new(bool)}, []string{"--header", "false"}
	}
	return o, nil
}

// readers scores a file as calibrate, attack and evaluate read it, whole, and
// holds that against what detect reads, row by row.
func (w *doorWalk) readers(t *testing.T, d *host.Detector, format, path string, want []float64) {
	o, _ := header(format)
	rows, err := d.Read(path, o)
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	r, err := d.DetectRows(t.Context(), rows, detect.Include{})
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(slices.Values(r.Score)); !slices.Equal(got, want) {
		t.Errorf("%s scores %v…, train %v…", format, got[:3], want[:3])
	}
	s, err := d.Stream(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	row := make([]float32, s.Example().Size())
	for i := range rows.X.N() {
		if err := s.ReadRow(row); err != nil || !slices.Equal(row, rows.X.Row(i)) {
			t.Errorf("%s: row %d is %v read whole and %v read alone (%v)", format, i, rows.X.Row(i), row, err)
		}
	}
}

// verbs gives a file to detect and calibrate.
func (w *doorWalk) verbs(t *testing.T, guard, format, path string, want []float64) {
	_, extra := header(format)
	got := w.detect(t, guard, path, extra...)
	if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, want) {
		t.Errorf("detect of %s scores %v…, train %v…", format, sorted[:3], want[:3])
	}
	again := filepath.Join(w.dir, "again")
	w.cli(t, append([]string{"calibrate", guard, "--data", path, "--fpr", "0.2", "--out", again, "--quiet"}, extra...)...)
	if got := calibrationScores(t, again); !slices.Equal(got, want) {
		t.Errorf("calibrate of %s scores %v…, train %v…", format, got[:3], want[:3])
	}
}

// library scores raw rows by Detect.
func (w *doorWalk) library(t *testing.T, d *host.Detector, want []float64) {
	if w.c.raw == nil {
		return
	}
	w.sig = d.Signature()
	r, err := d.Detect(t.Context(), w.c.raw(w.sig, partRows, 2*partRows))
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(slices.Values(r.Score)); !slices.Equal(got, want) {
		t.Errorf("the library scores %v…, train %v…", got[:3], want[:3])
	}
}

// evaluate takes the calibration rows for the test's.
func (w *doorWalk) evaluate(t *testing.T, guard, format string, want []float64) {
	path, _, err := w.c.write(filepath.Join(w.dir, "labelled"), format, partRows, 2*partRows, true)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"evaluate", guard, "--data", path, "--out", filepath.Join(w.dir, "report"), "--quiet"}
	if y := filepath.Join(w.dir, "labelled", "y.npy"); exists(y) {
		args = append(args, "--labels", y)
	}
	_, extra := header(format)
	w.cli(t, append(args, extra...)...)
	b, err := os.ReadFile(filepath.Join(w.dir, "report", "scores.json"))
	if err != nil {
		t.Fatal(err)
	}
	var scores struct {
		Clean struct {
			Score []float64 `json:"score"`
		} `json:"clean"`
	}
	if err := json.Unmarshal(b, &scores); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(slices.Values(scores.Clean.Score)); !slices.Equal(got, want) {
		t.Errorf("evaluate scores %d rows %v…, train %d %v…", len(got), got[:min(3, len(got))], len(want), want[:3])
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// attack writes adversarial rows, of which detect must say what attack said.
func (w *doorWalk) attack(t *testing.T, guard string) {
	adv := filepath.Join(w.dir, "adv.npz")
	w.cli(t, "attack", guard, "--attack", "fgsm", "--set", "eps=0.2", "--out", adv, "--quiet")
	arrays, err := dataset.ReadNPZ(adv)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string][]int64{}
	for _, a := range arrays {
		if v, ok := a.Data.([]int64); ok {
			of[a.Name] = v
		}
	}
	for key, want := range map[string][]int64{"x": of["predicted"], "x_adv": of["predicted_adv"]} {
		for i, v := range w.verdicts(t, guard, adv+":"+key) {
			if int64(v.Predicted) != want[i] {
				t.Errorf("row %d of %s: detect predicts %d, attack %d", i, key, v.Predicted, want[i])
			}
		}
	}
}

// pythonClient is a Python with numpy for the client, and the program that the
// client asks; "" where there is none.
func pythonClient(t *testing.T) (python, program string) {
	for _, p := range []string{os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3"} {
		if p != "" && exec.Command(p, "-c", "import numpy").Run() == nil {
			program = filepath.Join(t.TempDir(), "vaeguard")
			if out, err := exec.Command("go", "build", "-o", program, "../host/cmd/vaeguard").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return p, program
		}
	}
	if os.Getenv("VAEGUARD_PYTHON_TESTS") != "" {
		t.Fatal("no Python with numpy")
	}
	return "", ""
}

// client asks Python's Detector, for the program that this test is.
func (w *doorWalk) client(t *testing.T, guard string, want []float64) {
	if w.python == "" || w.c.raw == nil {
		return
	}
	file := filepath.Join(w.dir, "x.npy")
	load := "np.load(sys.argv[4])"
	if w.c.named {
		var err error
		if file, _, err = w.c.write(w.dir, "jsonl", partRows, 2*partRows, false); err != nil {
			t.Fatal(err)
		}
		load = "[json.loads(line) for line in open(sys.argv[4])]"
	} else {
		var b bytes.Buffer
		x := w.c.raw(w.sig, partRows, 2*partRows)
		if err := dataset.WriteNPY(&b, dataset.Array{Shape: x.Shape, Data: x.Data}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := "import sys, json, numpy as np; sys.path.insert(0, sys.argv[1]); import vaeguard\n" +
		"with vaeguard.Detector(sys.argv[2], binary=sys.argv[3]) as d: print(json.dumps([float(s) for s in d.predict(" + load + ")['data']['instance_score']]))"
	sdk, err := filepath.Abs("../sdk/python")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(w.python, "-c", script, sdk, guard, w.program, file).Output()
	if err != nil {
		var text string
		var e *exec.ExitError
		if errors.As(err, &e) {
			text = string(e.Stderr)
		}
		t.Fatalf("python: %v: %s", err, text)
	}
	var got []float64
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Python scores %v…, train %v…", got[:3], want[:3])
	}
}
