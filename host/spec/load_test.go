package spec_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

var update = flag.Bool("update", false, "rewrite golden files")

// options reads against the tables of this package and a fixed environment.
func options(set ...string) spec.Options {
	env := map[string]string{"UNITS": "10", "TOKEN": "s3cret-token", "BAD_SEED": "confidential"}
	return spec.Options{Tables: tables, Set: set, LookupEnv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
}

// golden compares got with the file, or rewrites it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant (%s)\n%s", got, file, want)
	}
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			_, err := load(f, options())
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "confidential") {
				t.Error("a variable's value is in the message")
			}
			golden(t, strings.TrimSuffix(f, ".yml")+".golden", filepath.ToSlash(err.Error())+"\n")
		})
	}
}

func TestFullSpec(t *testing.T) {
	s, err := load("testdata/full.good.yml", options("train.epochs=3", "vae.encoder[0].conv2d.filters=8", "attacks[1].fgsm.eps=0.25",
		"data.test.limit=${N:7}", "vae.encoder[3]=dropout", "corruptions=", "detector.temperature=0.5"))
	if err != nil {
		t.Fatal(err)
	}
	enc := registry.List[maker](s.VAE.Encoder)
	wantEnc := []maker{
		&conv{Filters: 8, KernelSize: pair{4, 3}, Strides: pair{1, 1}, Padding: "valid", Activation: "linear"},
		residual{
			Layers:   []maker{dropout{0.5}, residual{Layers: []maker{flatten{}}}},
			Shortcut: &conv{Filters: 64, KernelSize: pair{3, 3}, Strides: pair{1, 1}, Padding: "valid", Activation: "linear"},
		},
		flatten{}, dropout{0.5},
	}
	if !reflect.DeepEqual(enc, wantEnc) {
		t.Errorf("encoder %+v, want %+v", enc, wantEnc)
	}
	wantConfig := map[string]any{
		"layers": []any{map[string]any{"conv2d": map[string]any{"filters": 64, "kernel_size": 2}}, "flatten", map[string]any{"dense": map[string]any{"units": 10}}},
		"rate":   1.0, "token": "s3cret-token", "nothing": nil,
	}
	if !reflect.DeepEqual(s.Classifier.Config, wantConfig) {
		t.Errorf("config %#v, want %#v", s.Classifier.Config, wantConfig)
	}
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"name", s.Name, "full"},
		{"train.epochs", s.Train.Epochs, 3},
		{"train.batch_size", s.Train.BatchSize, 64},
		{"train.loss", s.Train.Loss.Value, adversarial{WModel: 1, WRecon: 0.5, CovELBO: covariate{map[string]any{"cov_diag": nil}}}},
		{"train.optimizer", s.Train.Optimizer, registry.Component{Kind: "optimizer", Name: "adam", Path: "train.optimizer.adam", Value: adam{0.001}}},
		{"train.early_stopping", *s.Train.EarlyStopping, earlyStopping{Monitor: "val_loss", Patience: 3}},
		{"train.harden", *s.Train.Harden, harden{Norm: "linf", Eps: 0.1, Steps: 2, Through: "guard", Weight: 0.5}},
		{"data.train.limit", s.Data.Train.Limit, 1000},
		{"data.test.limit", s.Data.Test.Limit, 7},
		{"data.calibration.rescale", *s.Data.Calibration.Rescale, rescale{Scale: 0.5}},
		{"detector.samples", s.Detector.Samples, 5},
		{"detector.temperature", s.Detector.Temperature, 0.5},
		{"detector.score", s.Detector.Score[1].Path, "detector.score[1].ce_top"},
		{"detector.hidden_layers", s.Detector.HiddenLayers[0], hidden{Name: "conv2", Weight: 0.5, Units: 20, Head: "random"}},
		{"attacks[0]", s.Attacks[0].Value, pgd{budget: budget{"l2", 1.5}, Key: "s3cret-token"}},
		{"attacks[1]", s.Attacks[1].Value, budget{"linf", 0.25}},
		{"threshold", *s.Threshold.Confidence, 0.95},
		{"classifier.gradient", s.Classifier.Gradient, "auto"},
		{"vae.normalize", s.VAE.Normalize, normalize{Mode: "given", Mean: []float64{0.5}, Std: []float64{2}}},
		{"position", s.Errorf("vae.encoder[1].residual.layers", "x").Error(), "testdata/full.good.yml:31:9: vae.encoder[1].residual.layers: x"},
		{"nearest position", s.Errorf("vae.encoder[0].conv2d.padding", "x").Pos, spec.Position{Line: 29, Column: 7}},
		{"given", s.Given("vae.encoder[0].conv2d.filters"), true},
		{"not given", s.Given("detector.beta"), false},
		{"require", s.Require("run", "data.test", "data.nothing").Error(), `testdata/full.good.yml:6:1: data: missing key "data.nothing", which run needs`},
		{"abs", s.Abs("x/y"), filepath.Join("testdata", "x", "y")},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %#v, want %#v", c.name, c.got, c.want)
		}
	}
}

func TestDefaultsAndCompat(t *testing.T) {
	s, err := load("testdata/anchors.good.yml", options())
	if err != nil {
		t.Fatal(err)
	}
	d := s.Detector
	if d.Method != "vae" || d.Samples != 10 || d.Beta != 0 || len(d.Score) != 1 || d.Score[0].Name != "kl" || d.Temperature != 1 || d.ProbabilityClip != 1e-7 {
		t.Errorf("detector %+v", d)
	}
	if tr := s.Train; tr.Loss.Name != "adversarial" || tr.Optimizer.Name != "adam" || tr.Epochs != 20 || tr.BatchSize != 64 || tr.ELBOReduction != "mean" || tr.LatentReduction != "mean" {
		t.Errorf("train %+v", tr)
	}
	if s.VAE.LogVar != "softplus" || s.VAE.Normalize.Mode != "none" {
		t.Errorf("vae %+v", s.VAE)
	}
	if want := (rowSource{Dataset: "digits", Split: "test"}); !reflect.DeepEqual(*s.Data.Test, want) {
		t.Errorf("data.test %+v, want %+v", *s.Data.Test, want)
	}
}

func TestSetErrors(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"train.epochs", "--set train.epochs: want PATH=VALUE, such as train.epochs=3"},
		{"train.epochs=many", `--set train.epochs: train.epochs: want an integer, got "many"`},
		{"train.epoch=3", `--set train.epoch: train: unknown key "epoch"; did you mean "epochs"?`},
		{"vae.encoder[9]=flatten", "--set vae.encoder[9]: vae.encoder has 3 entries"},
		{"name.x=3", `--set name.x: name is "${NAME:full}", not a mapping`},
		{"vae..x=3", `--set vae..x: path "vae..x": empty key`},
		{"vae[x]=3", `--set vae[x]: path "vae[x]": "x" is not an index`},
		{"seed=[1", `--set seed: not YAML: did not find expected ',' or ']'`},
		{"seed=${NOPE}", "--set seed: variable NOPE is not set; set it, or write ${NOPE:DEFAULT}"},
	} {
		_, err := load("testdata/full.good.yml", options(c.set))
		if err == nil || filepath.ToSlash(err.Error()) != c.want {
			t.Errorf("--set %s: got\n%v\nwant\n%s", c.set, err, c.want)
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	_, err := load("testdata/keys.bad.yml", options())
	var one spec.Error
	if !errors.As(err, &one) || one.Pos.Line != 1 {
		t.Errorf("errors.As gave %+v", one)
	}
	if n := len(spec.Faults(err)); n < 10 {
		t.Errorf("%d faults", n)
	}
}

func TestChecksRunOnSoundSections(t *testing.T) {
	o := options("train.epochs=0")
	o.Checks = []spec.Check{{Sound: []string{"vae"}, Find: func(d *spec.Document, _ spec.Errors) spec.Errors {
		return spec.Errors{d.Errorf("vae.decoder", "ends as 28×28×3, the classifier takes 28×28×1")}
	}}}
	_, err := load("testdata/full.good.yml", o)
	if n := len(spec.Faults(err)); n != 2 {
		t.Errorf("%d faults, want 2: %v", n, err)
	}
	o.Set = []string{"vae.latent_dim=0"}
	_, err = load("testdata/full.good.yml", o)
	if n := len(spec.Faults(err)); n != 1 {
		t.Errorf("%d faults, want 1, shapes unchecked: %v", n, err)
	}
}

func TestHostileSizes(t *testing.T) {
	head := "api_version: vaeguard/v1\nkind: Experiment\nname: x\n"
	for _, c := range []struct{ name, text, want string }{
		{"bytes", strings.Repeat("# comment\n", 500_000), "bytes; a file of this kind has at most"},
		{"depth", head + "classifier: {plugin: x, config: {a: " + strings.Repeat("[", 150) + strings.Repeat("]", 150) + "}}\n", "nested deeper than 100"},
		{"long keys", head + "classifier:\n  config:\n    ? " + strings.Repeat("k", 100_000) + "\n    : [" + strings.Repeat("1, ", 2000) + "1]\n", "keys far too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := parse("x.yaml", c.text, options()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
