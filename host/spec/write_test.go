package spec_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
)

// same compares all that a user sees of two specs.
func same(t *testing.T, a, b *experiment) {
	t.Helper()
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range va.NumField() {
		if f := va.Type().Field(i); f.IsExported() && f.Name != "Document" && !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			t.Errorf("%s: %+v, want %+v", f.Name, vb.Field(i).Interface(), va.Field(i).Interface())
		}
	}
}

func TestResolvedRoundTrip(t *testing.T) {
	files, err := filepath.Glob("testdata/*.good.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			a, err := load(f, options())
			if err != nil {
				t.Fatal(err)
			}
			text := a.resolved()
			golden(t, strings.TrimSuffix(f, ".yml")+".resolved.golden", string(text))
			b, err := parse(f, string(text), options())
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			same(t, a, b)
			if again := b.resolved(); string(again) != string(text) {
				t.Errorf("written again:\n%s\nwant\n%s", again, text)
			}
			if strings.Contains(string(text), "s3cret") {
				t.Error("a secret is written")
			}
		})
	}
}

func TestResolvedChanges(t *testing.T) {
	o := options()
	_, err := parse("x.yaml", `
api_version: vaeguard/v1
kind: Experiment
name: ${RUN:a b}
seed: ${SEED:7}
data:
  train: {dataset: digits, split: ${SPLIT:train}, limit: ${N:10}}
classifier:
  plugin: $${literal}
  config: {units: ${UNITS}, path: "${UNITS}/x", quoted: "${N:5}"}
vae:
  normalize: {mean: ["${NOT:a}", 1], std: [1, 1]}
`, o)
	if err == nil {
		t.Fatal("a quoted variable passed for a number")
	}
	s, err := parse("x.yaml", `
api_version: vaeguard/v1
kind: Experiment
name: ${RUN:a b}
seed: ${SEED:7}
data:
  train: {dataset: digits, split: ${SPLIT:train}, limit: ${N:10}}
classifier:
  plugin: $${literal}
  config: {units: ${UNITS}, path: "${UNITS}/x", quoted: "${N:5}", list: [${UNITS}, 2.0]}
vae:
  latent_dim: 2
  normalize: {mean: [${MEAN:0.5}, 1], std: [1, 1]}
  decoder: [{conv2d: {filters: 1, kernel_size: [${UNITS}, 3]}}]
`, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Classifier.Plugin != "${literal}" || s.Name != "a b" || s.Classifier.Config["path"] != "10/x" || s.Classifier.Config["quoted"] != "5" || s.Classifier.Config["units"] != 10 {
		t.Errorf("read %+v", s)
	}
	text := string(s.resolved())
	for _, want := range []string{"name: ${RUN:a b}\n", "seed: ${SEED:7}\n", "split: ${SPLIT:train}", "limit: ${N:10}", "plugin: $${literal}\n", "units: ${UNITS}", `path: "${UNITS}/x"`,
		`quoted: "${N:5}"`, "[${UNITS}, 2.0]", "mean: [${MEAN:0.5}, 1]", "kernel_size: [${UNITS}, 3]"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	b, err := parse("x.yaml", text, o)
	if err != nil {
		t.Fatal(err)
	}
	same(t, s, b)

	s.Seed = 8
	s.Data.Train.Limit = 3
	s.Classifier.Config["units"] = 11
	s.VAE.Normalize = normalize{Mode: "standard"}
	s.Name = "${SHELL}"
	text = string(s.resolved())
	for _, want := range []string{"seed: 8\n", "limit: 3", "units: 11", "normalize: standard", `name: "$${SHELL}"`} {
		if !strings.Contains(text, want) {
			t.Errorf("changed: no %s in\n%s", want, text)
		}
	}
}

func TestResolvedWithoutSource(t *testing.T) {
	s := &experiment{APIVersion: "vaeguard/v1", Kind: "Experiment", Name: "made", Detector: detector{Method: "vae", Temperature: 1},
		Attacks: []registry.Component{{Kind: "attack", Name: "fgsm", Value: budget{"l2", 3}}}}
	b, err := parse("x", string(s.resolved()), options())
	if err != nil {
		t.Fatalf("%v in\n%s", err, s.resolved())
	}
	if b.Attacks[0].Value != s.Attacks[0].Value || b.Name != "made" {
		t.Errorf("read back %+v", b)
	}
}
