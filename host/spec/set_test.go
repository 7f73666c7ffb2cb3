package spec_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/spec"
)

// TestDrop: a key that is dropped is absent, whatever it held, and one that is
// not there is no fault.
func TestDrop(t *testing.T) {
	o := options()
	o.Drop = []string{"classifier.plugin", "classifier.config.hidden", "none", "data.none.x", "vae.encoder[0]"}
	o.Set = []string{"classifier.path=./p"}
	text := `
api_version: vaeguard/v1
kind: Experiment
name: x
data: {train: {file: /abs/x.npy}}
classifier: {plugin: mlp, config: {hidden: [4], weights: "${W:w}"}}
vae: {latent_dim: 2, encoder: [{dense: {units: 2}}], decoder: [{dense: {units: 2}}]}
`
	s, err := parse("x.yaml", text, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Classifier.Plugin != "" || s.Classifier.Path != "./p" || s.Classifier.Config["hidden"] != nil || s.Classifier.Config["weights"] != "w" || len(s.VAE.Encoder) != 1 {
		t.Errorf("read %+v", s.Classifier)
	}
	if written := string(s.resolved()); strings.Contains(written, "plugin") || strings.Contains(written, "hidden:") {
		t.Errorf("written:\n%s", written)
	}
	texts := s.Texts()
	for path, want := range map[string]string{"data.train.file": "/abs/x.npy", "classifier.config.weights": "w", "classifier.path": "./p", "name": "x"} {
		if texts[path] != want {
			t.Errorf("%s is %q, want %q", path, texts[path], want)
		}
	}
	if _, ok := texts["vae.latent_dim"]; ok || len((*spec.Document)(nil).Texts()) != 0 {
		t.Errorf("texts %v", texts)
	}
}
