package artifact

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var info = sdk.Info{Name: "cnn", Version: "1", NumClasses: 10, Output: sdk.Logits, Digest: "sha256:aa"}

func state(t *testing.T, n int, fpr float64, seed uint64) detect.State {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	s := detect.State{Scores: make([]float64, n), Reference: [][]float64{make([]float64, 12), make([]float64, 12)}}
	for i := range s.Scores {
		s.Scores[i] = r.ExpFloat64()
	}
	for i := range 12 {
		s.Reference[0][i], s.Reference[1][i] = float64(i), float64(2*i)
	}
	slices.Sort(s.Scores)
	th, err := detect.NewThreshold(detect.Rule{FPR: &fpr}, s.Scores)
	if err != nil {
		t.Fatal(err)
	}
	s.Threshold = &th
	return s
}

// sample is a detector with everything in it.
func sample(t *testing.T) *Detector {
	t.Helper()
	weights := t.TempDir()
	if err := os.MkdirAll(filepath.Join(weights, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"model.safetensors": "weights", "sub/labels.txt": "a b"} {
		if err := os.WriteFile(filepath.Join(weights, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Detector{
		Spec: []byte("name: x\n"),
		Tensors: []safetensors.Named{
			{Name: "mean.kernel", Tensor: tensor.From([]float32{1, -2, 0.1}, 3, 1)},
			{Name: "noise", Tensor: detect.DrawNoise(1, 4, 1)},
			{Name: "hidden.conv2.kernel", Tensor: oracle.DrawHead(1, "conv2", 5, 2)},
		},
		State: state(t, 200, 0.05, 1),
		Meta: Meta{Name: "x", Method: "vae", Seeds: map[string]uint64{"noise": 1<<63 + 1}, InputShape: tensor.Shape{3},
			LatentDim: 1, Samples: 4, Classifier: ClassifierOf(info), Data: map[string]string{"train": "ab"}},
		ClassifierDir: weights,
	}
}

func save(t *testing.T) (string, *Detector) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "detector")
	d := sample(t)
	if err := Save(dir, d, false); err != nil {
		t.Fatal(err)
	}
	return dir, d
}

func TestSaveAndLoad(t *testing.T) {
	dir, want := save(t)
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	got, err := Load(moved)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Spec) != string(want.Spec) || !slices.Equal(got.State.Scores, want.State.Scores) ||
		got.State.Threshold.Value != want.State.Threshold.Value || got.State.Threshold.Rank != want.State.Threshold.Rank ||
		!slices.Equal(got.State.Reference[1], want.State.Reference[1]) {
		t.Errorf("loaded %+v", got.State)
	}
	for _, n := range want.Tensors {
		if g := got.Tensor(n.Name); g == nil || !g.Shape.Equal(n.Tensor.Shape) || !slices.Equal(g.Data, n.Tensor.Data) {
			t.Errorf("%s: other bits", n.Name)
		}
	}
	if w := got.Weights(); len(w) != 1 || w["mean.kernel"] == nil || got.Noise() == nil || got.HeadKernel("conv2") == nil {
		t.Errorf("weights %v", w)
	}
	if got.Meta.Seeds["noise"] != 1<<63+1 || got.Meta.Versions["go"] == "" || !strings.HasPrefix(got.Digest, "sha256:") {
		t.Errorf("meta %+v", got.Meta)
	}
	b, err := os.ReadFile(filepath.Join(got.ClassifierDir, "sub", "labels.txt"))
	if err != nil || string(b) != "a b" {
		t.Errorf("classifier folder: %q, %v", b, err)
	}
	// A run with the detector in it stands for it, and the same detector has
	// the same bytes.
	run := t.TempDir()
	if err := Save(filepath.Join(run, "detector"), want, false); err != nil {
		t.Fatal(err)
	}
	again, err := Load(run)
	if err != nil || again.Digest != got.Digest {
		t.Errorf("the same detector saved twice: %v", err)
	}
}

func TestSaveKeepsWhatIsThere(t *testing.T) {
	dir, d := save(t)
	if err := Save(dir, d, false); err == nil || !strings.Contains(err.Error(), "exists; --force") {
		t.Errorf("existing target: %v", err)
	}
	if err := Save(dir, d, true); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, dir + ".1"} {
		if _, err := Load(p); err != nil {
			t.Error(err)
		}
	}
	// A failed save leaves no files.
	d.Tensors = append(d.Tensors, d.Tensors[0])
	bad := filepath.Join(t.TempDir(), "bad")
	if err := Save(bad, d, false); err == nil {
		t.Error("two tensors of one name saved")
	}
	if left, err := os.ReadDir(filepath.Dir(bad)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	truncate := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			s, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(dir, name), s.Size()-3); err != nil {
				t.Fatal(err)
			}
		}
	}
	edit := func(name, from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !strings.Contains(string(b), from) {
				t.Fatalf("%s: no %q (%v)", name, from, err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Replace(string(b), from, to, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		harm func(*testing.T, string)
		want string
	}{
		"truncated weights":     {truncate(WeightsFile), "weights.safetensors is truncated"},
		"truncated calibration": {truncate(CalibrationFile), "calibration.npy is truncated"},
		"truncated meta":        {truncate(MetaFile), "meta.json is truncated"},
		"edited spec":           {edit(SpecFile, "x", "y"), "detector.yaml was edited"},
		"edited classifier":     {edit("classifier/model.safetensors", "w", "W"), "classifier/model.safetensors was edited"},
		"edited meta":           {edit(MetaFile, `"samples": 4`, `"samples": 5`), "meta.json was edited"},
		"version":               {edit(MetaFile, `"format_version": 2`, `"format_version": 9`), "format version 9, this program reads 2"},
		"no version":            {edit(MetaFile, `"format_version": 2,`, ``), "format version none"},
		"missing": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, WeightsFile)); err != nil {
				t.Fatal(err)
			}
		}, "weights.safetensors is missing"},
		"no meta": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, MetaFile)); err != nil {
				t.Fatal(err)
			}
		}, "neither a detector nor a run"},
		"outside": {func(t *testing.T, dir string) {
			rewrite(t, dir, func(m *Meta) { m.Files["../secret"] = "00" })
		}, "outside the folder"},
		"threshold": {func(t *testing.T, dir string) {
			rewrite(t, dir, func(m *Meta) { m.Threshold.Value = 100 })
		}, "does not follow from the calibration"},
	} {
		dir, _ := save(t)
		c.harm(t, dir)
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "nowhere")); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("no such folder: %v", err)
	}
}

// rewrite changes meta.json and gives it a fresh digest.
func rewrite(t *testing.T, dir string, change func(*Meta)) {
	t.Helper()
	path := filepath.Join(dir, MetaFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	if b, err = m.encode(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCheckClassifier(t *testing.T) {
	dir, _ := save(t)
	d, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CheckClassifier(info); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*sdk.Info){
		"its digest is sha256:aa, this one's sha256:bb":   func(i *sdk.Info) { i.Digest = "sha256:bb" },
		"this one's not declared":                         func(i *sdk.Info) { i.Digest = "" },
		"its output is logits, this one's probabilities":  func(i *sdk.Info) { i.Output = sdk.Probabilities },
		"its number of classes is 10, this one's 3":       func(i *sdk.Info) { i.NumClasses = 3 },
		"made for another classifier: its digest is sha2": func(i *sdk.Info) { i.Digest = "sha256:cc" },
	} {
		other := info
		change(&other)
		if err := d.CheckClassifier(other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

func TestRecalibrate(t *testing.T) {
	dir, d := save(t)
	next := state(t, 300, 0.1, 2)
	next.Reference = nil
	if err := Recalibrate(dir, next, map[string]string{"calibration": "cd"}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.State.Threshold.Value != next.Threshold.Value || !slices.Equal(got.State.Scores, next.Scores) ||
		got.State.Reference != nil || got.Meta.Data["calibration"] != "cd" || got.Meta.Name != d.Meta.Name {
		t.Errorf("recalibrated: %+v", got.Meta)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 6 { // spec, weights, calibration, classifier, meta, card
		t.Errorf("files %v", names)
	}
}

// Interrupted before its commit point a calibration has not happened; after
// it, it has, and the next one tidies up.
func TestInterruptedRecalibration(t *testing.T) {
	before, d := save(t)
	pending := encodeNPY([]float64{1, 2, 3})
	if err := os.WriteFile(filepath.Join(before, CalibrationFile+pendingSuffix), pending, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Load(before)
	if err != nil || !slices.Equal(got.State.Scores, d.State.Scores) {
		t.Fatalf("before the commit point: %v", err)
	}

	after, _ := save(t)
	value := 0.5
	next := detect.State{Scores: []float64{1, 2, 3}}
	th, err := detect.NewThreshold(detect.Rule{Value: &value}, next.Scores)
	if err != nil {
		t.Fatal(err)
	}
	next.Threshold = &th
	if err := os.WriteFile(filepath.Join(after, CalibrationFile+pendingSuffix), pending, 0o644); err != nil {
		t.Fatal(err)
	}
	rewrite(t, after, func(m *Meta) {
		m.Threshold = thresholdMeta(&th)
		m.Files[CalibrationFile], m.Sizes[CalibrationFile] = digest(pending), int64(len(pending))
	})
	if got, err = Load(after); err != nil || !slices.Equal(got.State.Scores, next.Scores) {
		t.Fatalf("after the commit point: %v", err)
	}
	if err := Recalibrate(after, next, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(after, CalibrationFile+pendingSuffix)); err == nil {
		t.Error("a pending file is left")
	}
	if _, err := Load(after); err != nil {
		t.Error(err)
	}
}

func FuzzDecodeNPY(f *testing.F) {
	f.Add(encodeNPY([]float64{1, 2}))
	f.Add(encodeNPY([]float64{1, 2}, []float64{3, 4}))
	f.Add(encodeNPY([]float64{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := decodeNPY(b)
		if err != nil {
			return
		}
		if again, err := decodeNPY(encodeNPY(rows...)); err != nil || len(again) != len(rows) {
			t.Errorf("%v after a round trip", err)
		}
	})
}

func FuzzParseMeta(f *testing.F) {
	b, err := Meta{FormatVersion: FormatVersion, Name: "x", Samples: 3}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format_version": 2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		if again, err := m.encode(); err != nil || string(again) != string(b) {
			t.Errorf("%q comes back as %q, %v", b, again, err)
		}
	})
}

func TestNPYIsNumpys(t *testing.T) {
	b := encodeNPY([]float64{1, 2})
	if (len(b)-16)%64 != 0 || !strings.Contains(string(b), "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }") {
		t.Errorf("%q", b)
	}
	rows, err := decodeNPY(encodeNPY([]float64{1, 2, 3}, []float64{4, 5, 6}))
	if err != nil || len(rows) != 2 || rows[1][2] != 6 {
		t.Errorf("%v, %v", rows, err)
	}
}

// A param must be told from the other parts of a detector's file.
func TestCheckNames(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"encoder.0.kernel", "noisy", "scales"}, ""},
		{[]string{"a", "a"}, "given twice"},
		{[]string{""}, "empty"},
		{[]string{"scale.w"}, `a param is called "scale.w"`},
		{[]string{"noise"}, "other parts of a detector's file"},
		{[]string{"hidden.x"}, "other parts"},
	} {
		var params []*nn.Param
		for _, n := range c.names {
			params = append(params, &nn.Param{Name: n})
		}
		if err := CheckNames(params); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.names, err, c.want)
		}
	}
}

// A meta.json says null of a health that is not known; one of an earlier version, which
// lacks the key, and others that came later, reads as it is; an edited one does not.
func TestMetaOfEarlierVersions(t *testing.T) {
	m := Meta{FormatVersion: FormatVersion, Name: "a", Files: map[string]string{}, Classifier: Classifier{Name: "c"}}
	b, err := m.encode()
	if err != nil || !strings.Contains(string(b), `"health": null`) || !strings.Contains(string(b), `"hardened": null`) {
		t.Fatalf("%s (%v)", b, err)
	}
	if _, err := parseMeta(b); err != nil {
		t.Error(err)
	}
	old := regexp.MustCompile(`  "(health|hardened)": null,\n`).ReplaceAll(b, nil)
	old = regexp.MustCompile(`"sha256": "\w*"\n}`).ReplaceAll(old, []byte("\"sha256\": \"\"\n}"))
	old = []byte(strings.Replace(string(old), `"sha256": ""`+"\n}", fmt.Sprintf("%q: %q\n}", "sha256", digest(old)), 1))
	got, err := parseMeta(old)
	if err != nil || got.Health != nil || got.Name != "a" || strings.Contains(string(old), "health") {
		t.Errorf("%+v (%v) of\n%s", got, err, old)
	}
	for name, edited := range map[string]string{
		"a key":             strings.Replace(string(b), `"name": "a"`, `"name": "b"`, 1),
		"white space":       strings.Replace(string(b), "\n", " \n", 1),
		"more at the end":   string(b) + " ",
		"less at the end":   strings.TrimSuffix(string(b), "\n"),
		"no digest":         strings.Replace(string(b), digestIn(b), "", 1),
		"another's digest":  strings.Replace(string(b), digestIn(b), digestIn(old), 1),
		"a digest of blank": strings.Replace(string(b), digestIn(b), digest(nil), 1),
	} {
		if edited == string(b) {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := parseMeta([]byte(edited)); err == nil || !strings.Contains(err.Error(), "was edited") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// digestIn is the digest that a meta.json ends with.
func digestIn(b []byte) string {
	parts := strings.Split(string(b), `"`)
	return parts[len(parts)-2]
}
