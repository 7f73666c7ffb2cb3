package onnx

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// suite is where Debian's libonnx-testdata puts the cases of the ONNX project.
// With VAEGUARD_ONNX_TESTS=1 it must be there.
const suite = "/usr/share/libonnx-testdata/data"

// leastCases is how many cases of the suite (of ONNX 1.12) run.
const leastCases = 630

// beyond are cases that ask supported operators for what is not supported, by
// a part of their name.
var beyond = map[string]string{
	"STRING":              "strings",
	"BFLOAT16":            "bfloat16, which the suite stores as integers",
	"resize_tf_crop":      "regions of interest",
	"maxpool_with_argmax": "indices of MaxPool",

	"identity_opt":      "optional values",
	"identity_sequence": "sequences",
	"training_mode":     "training",
	"training_dropout":  "training",
}

// tolerances of the suite: that of its own runner.
const suiteRelative, suiteAbsolute = 1e-3, 1e-7

func TestSuite(t *testing.T) {
	dirs, err := filepath.Glob(suite + "/*/test_*")
	if err != nil || len(dirs) == 0 {
		if os.Getenv("VAEGUARD_ONNX_TESTS") == "1" {
			t.Fatalf("no cases in %s: install libonnx-testdata (%v)", suite, err)
		}
		t.Skipf("no cases in %s: install libonnx-testdata", suite)
	}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	ran := 0
	for _, dir := range dirs {
		name := strings.TrimPrefix(filepath.Base(dir), "test_")
		if filepath.Base(filepath.Dir(dir)) == "real" || slices.ContainsFunc(slices.Collect(maps.Keys(beyond)), func(s string) bool { return strings.Contains(name, s) }) {
			continue
		}
		data, err := os.ReadFile(dir + "/model.onnx")
		if err != nil {
			continue
		}
		m, err := parse(data, dir, settings{})
		if err != nil || !supported(m) {
			continue // an old opset, or an operator that is not there
		}
		ran++
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+name, func(t *testing.T) { suiteCase(t, k, m, dir+"/test_data_set_0") })
	}
	t.Logf("%d of %d cases ran", ran, len(dirs))
	if ran < leastCases {
		t.Errorf("%d cases ran, want at least %d", ran, leastCases)
	}
}

func supported(m *model) bool {
	for _, n := range m.nodes {
		if newOperators().of(n) == nil {
			return false
		}
	}
	return len(m.nodes) > 0
}

// load reads tensors NAME_0.pb, NAME_1.pb, …
func (m *model) load(t *testing.T, dir, name string) []*value {
	t.Helper()
	var out []*value
	for i := 0; ; i++ {
		b, err := os.ReadFile(fmt.Sprintf("%s/%s_%d.pb", dir, name, i))
		if err != nil {
			return out
		}
		_, v, err := m.tensor(b)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
}

// suiteCase runs a case with each of its float inputs in turn as the one that
// is differentiated, the others as constants.
func suiteCase(t *testing.T, k *kernel.Engine, m *model, dir string) {
	ins, want := m.load(t, dir, "input"), m.load(t, dir, "output")
	if len(want) == 0 || len(m.inputs) < len(ins) {
		t.Skip("no data")
	}
	for i, v := range ins {
		m.consts[m.inputs[i].name] = v
	}
	var targets []string
	for i := range want {
		targets = append(targets, m.outputs[i].name)
	}
	tried := false
	for i, v := range ins {
		if v.kind == float && len(v.f) > 0 {
			tried = suiteRun(t, k, m, i, v, targets, want) || tried
		}
	}
	if !tried {
		suiteRun(t, k, m, -1, nil, targets, want)
	}
}

// suiteRun reports false if input i has to be a constant.
func suiteRun(t *testing.T, k *kernel.Engine, m *model, i int, in *value, targets []string, want []*value) bool {
	t.Helper()
	name := "\x00none"
	if i >= 0 {
		name = m.inputs[i].name
		delete(m.consts, name)
		defer func() { m.consts[name] = in }()
	}
	g, err := compile(m, name, targets, newRun(k, plenty))
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(k, plenty)
	r.keep = true
	x := &value{kind: float, diff: true}
	if i >= 0 {
		x.shape, x.f = in.shape, slices.Clone(in.f)
	}
	if err := r.forward(context.Background(), g, x); err != nil {
		if i >= 0 && strings.Contains(err.Error(), "constant") {
			return false
		}
		t.Fatal(err)
	}
	for q, w := range want {
		got := r.plain(r.values[g.slots[targets[q]]])
		if d := difference(got, w); d != "" {
			t.Fatalf("output %d: %s", q, d)
		}
	}
	return true
}

// difference compares as the suite's own runner does.
func difference(got, want *value) string {
	if !slices.Equal(got.shape, want.shape) || (got.kind == float) != (want.kind == float) {
		return fmt.Sprintf("shape %v of kind %d, want %v of %d", got.shape, got.kind, want.shape, want.kind)
	}
	for i, w := range want.f {
		g := got.f[i]
		if g == w || g != g && w != w {
			continue
		}
		if d := math.Abs(float64(g) - float64(w)); !(d <= suiteAbsolute+suiteRelative*math.Abs(float64(w))) {
			return fmt.Sprintf("element %d is %v, want %v", i, g, w)
		}
	}
	for i, w := range want.i {
		if got.i[i] != w {
			return fmt.Sprintf("element %d is %v, want %v", i, got.i[i], w)
		}
	}
	return ""
}
