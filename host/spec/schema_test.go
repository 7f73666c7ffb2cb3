package spec_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/spec"
)

func TestSchema(t *testing.T) {
	schema := spec.Schema("an experiment", experiment{}, tables...)
	var document map[string]any
	if err := json.Unmarshal(schema, &document); err != nil {
		t.Fatal(err)
	}
	if errs := spec.Judge(schema, "testdata/full.good.yml"); len(errs) > 0 {
		t.Errorf("the schema refuses a good file: %v", errs)
	}
	if errs := spec.Judge(schema, "testdata/keys.bad.yml"); len(errs) < 15 {
		t.Errorf("the schema finds little in keys.bad.yml: %v", errs)
	}
}

func TestSchemaOfChecksWhatDecodeJSONReads(t *testing.T) {
	schema := spec.SchemaOf(&network{Hidden: []int{128}}, tables...)
	const head = "api_version: vaeguard/v1\nkind: Experiment\nname: x\nclassifier:\n  plugin: mlp\n  config:\n"
	s, err := parse("x.yaml", head+"    layers: [flatten, {dense: {units: 3}}, {residual: {layers: [dropout, {conv2d: {filter: 3}}]}}]\n    hidden: [0]\n", options())
	if err != nil {
		t.Fatal(err)
	}
	const want = `x.yaml:7:84: classifier.config.layers[2].residual.layers[1].conv2d: unknown key "filter"; did you mean "filters"?
x.yaml:8:14: classifier.config.hidden[0]: must be >= 1, got 0`
	if got := s.CheckConfig(schema, "classifier.config").Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExplain(t *testing.T) {
	guide := spec.Guide{Root: experiment{}, Tables: tables}
	var b strings.Builder
	for _, name := range []string{"dense", "layer/residual", "pgd", "flatten", "layers", "train.harden", "vae.latent_dim", "classifier.gradient", "detector.score", "detector.hidden_layers.head"} {
		text, err := guide.Explain(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.WriteString("$ " + name + "\n" + text + "\n")
	}
	golden(t, "testdata/explain.golden", b.String())
	_, err := guide.Explain("dens")
	if want := `unknown name "dens"; did you mean "dense"?`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
