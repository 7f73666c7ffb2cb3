package classifiers_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/classifiers"
	"github.com/vaeguard/vaeguard/builtin/classifiers/caller"
	"github.com/vaeguard/vaeguard/builtin/classifiers/caller/callertest"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/classifiertest"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var update = flag.Bool("update", false, "rewrite the config of plugins/*/plugin.yaml")

func TestMain(m *testing.M) {
	host.ServeIfPlugin(components())
	os.Exit(m.Run())
}

// own is a third party's classifier, which takes no config.
var own = registry.Entry[launch.Shipped]{
	Name: "fake", Doc: "A network of random weights.\n\nIt is for tests.",
	Default: launch.Shipped{New: func() sdk.Classifier { return &sdktest.Fake{Shape: tensor.Shape{64}, Classes: 10} }},
}

// components are those of a program that adds a classifier.
func components() host.Components {
	c := builtin.Components()
	c.Classifiers = c.Classifiers.With(own)
	return c
}

// TestThirdParty: a classifier that a program adds is served, documented and
// linted as those of the box are.
func TestThirdParty(t *testing.T) {
	classifiertest.Run(t, own, sdk.Config{})
	text, err := host.Explain("fake", components())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fake (classifier)", "It is for tests.", "It takes no classifier.config.", "classifier: {plugin: fake}"} {
		if !strings.Contains(text, want) {
			t.Errorf("explain has no %q:\n%s", want, text)
		}
	}
	if err := lint(t, "classifier: {plugin: fake}", components()); err != nil {
		t.Error(err)
	}
	if err := lint(t, "classifier: {plugin: fakir}", components()); err == nil || !strings.Contains(err.Error(), "no such plugin; there are caller, cnn, fake, ") {
		t.Errorf("an unknown plugin: %v", err)
	}
	less := components()
	less.Classifiers = registry.Table[launch.Shipped]{} // the program serves some, these components have none
	if err := lint(t, "classifier: {plugin: mlp}", less); err != nil {
		t.Error(err)
	}
}

// cases are configs that the classifiers accept: the suite cannot guess one.
var cases = map[string]func(t *testing.T) sdk.Config{
	"mlp": func(*testing.T) sdk.Config {
		return sdk.Config{JSON: []byte(`{"hidden": [4]}`), InputShape: tensor.Shape{6}, Classes: 3}
	},
	"cnn": func(*testing.T) sdk.Config {
		return sdk.Config{JSON: []byte(`{"filters": [2], "hidden": []}`), InputShape: tensor.Shape{8, 8, 1}, Classes: 3}
	},
	"onnx": func(*testing.T) sdk.Config {
		return sdk.Config{JSON: []byte(`{"model": "cnn.onnx"}`), BaseDir: "onnx/testdata"}
	},
	"caller": func(t *testing.T) sdk.Config {
		t.Setenv(caller.Variable, callertest.Lend(t, &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 3, Seed: 5}))
		return sdk.Config{JSON: []byte("{}")}
	},
	"oip": func(t *testing.T) sdk.Config {
		s := httptest.NewServer(&oiptest.Model{Classifier: &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 3, Seed: 5}})
		t.Cleanup(s.Close)
		data, err := json.Marshal(map[string]string{"url": s.URL, "model": "model"})
		if err != nil {
			t.Fatal(err)
		}
		return sdk.Config{JSON: data}
	},
}

// TestTable runs the suite over every classifier that ships.
func TestTable(t *testing.T) {
	entries := classifiers.Table().Entries()
	if len(entries) != len(cases) {
		t.Errorf("%d classifiers, %d cases", len(entries), len(cases))
	}
	for _, e := range entries {
		t.Run(e.Name, func(t *testing.T) {
			config, ok := cases[e.Name]
			if !ok {
				t.Fatalf("no case for classifier %s", e.Name)
			}
			classifiertest.Run(t, e, config(t))
		})
	}
}

// TestManifests: each that needs nothing of the program around it has one of its own in
// plugins, whose manifest says what it says itself.
func TestManifests(t *testing.T) {
	const plugins = "../../plugins"
	alone := 0
	for _, e := range classifiers.Table().Entries() {
		if e.Default.Env != nil {
			continue
		}
		alone++
		file := filepath.Join(plugins, "classifier-"+e.Name, "plugin.yaml")
		t.Run(e.Name, func(t *testing.T) {
			classifiertest.Manifest(t, file, e.Default.New(), spec.Summary(e.Doc), *update)
		})
	}
	found, err := filepath.Glob(filepath.Join(plugins, "*", "plugin.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != alone {
		t.Errorf("%d folders of plugins, %d classifiers in the table", len(found), alone)
	}
}

// TestExamples: what explain shows is a section classifier that lint accepts, but
// for the model's file and its server, which are not there.
func TestExamples(t *testing.T) {
	c := components()
	for _, name := range c.Classifiers.Names() {
		text, err := host.Explain("classifier/"+name, c)
		if err != nil {
			t.Fatal(err)
		}
		_, example, _ := strings.Cut(text, "Example:\n\n  ")
		if err := lint(t, example, c); err != nil {
			t.Errorf("%s: %v\n%s", name, err, example)
		}
	}
}

// lint gives the faults of a section classifier.
func lint(t *testing.T, section string, c host.Components) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.yaml")
	const head = "api_version: vaeguard/v1\nkind: Experiment\nname: x\ndata: {train: {dataset: digits}, calibration: {dataset: iris}}\nvae: {latent_dim: 2, decoder: [{dense: {units: 64}}]}\n"
	if err := os.WriteFile(file, []byte(head+section), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := host.LoadForLint(file, nil, c, host.Options{})
	if err == nil {
		err = e.LintClassifier(t.Context(), false)
	}
	var faults spec.Errors
	if !errors.As(err, &faults) {
		return err
	}
	faults = slices.DeleteFunc(slices.Clone(faults), func(f spec.Error) bool { return !strings.HasPrefix(f.Path, "classifier") })
	if len(faults) == 0 {
		return nil
	}
	return faults
}
