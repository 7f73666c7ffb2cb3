package spec_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/spec"
)

// extendedText asks for an extension by its key compat.
const extendedText = `api_version: vaeguard/v1
kind: Experiment
name: x
compat: alibi_detect_0_2_0
detector: {samples: 3, score: null}
train: {epochs: 7}
vae: {latent_dim: 2, encoder: [{dense: {units: 2}}], decoder: [{dense: {units: 2}}]}
threshold: {value: 1}
`

// extended is extendedText with an extension, overrides as options.
func extended(yaml string, without, set []string) (*experiment, error) {
	o := options()
	o.Set = set
	o.Extend = func(d *spec.Document, _ spec.Errors) (spec.Extension, spec.Errors) {
		if !d.Given("compat") {
			return spec.Extension{}, spec.Errors{d.Errorf("compat", "is not asked for")}
		}
		return spec.Extension{At: "compat", YAML: yaml, Without: without}, nil
	}
	return parse("x.yaml", extendedText, o)
}

// TestExtend: what a file has, null too, stays; what it lacks comes from the
// extension, counts as given, is written, and is not asked for again.
func TestExtend(t *testing.T) {
	const yaml = "{seed: 5, detector: {samples: 9, temperature: 2, score: margin}, train: {epochs: 1, batch_size: 8}, vae: [1], threshold: {fpr: 0.5}, evaluate: {limit: 4}}"
	s, err := extended(yaml, []string{"threshold"}, []string{"evaluate.bootstrap=6"})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{s.Seed, s.Detector.Samples, s.Detector.Temperature, s.Train.Epochs, s.Train.BatchSize, s.VAE.LatentDim, s.Evaluate.Limit, s.Evaluate.Bootstrap}
	for i, want := range []any{uint64(5), 3, 2., 7, 8, 2, 4, 6} {
		if got[i] != want {
			t.Errorf("value %d is %v, want %v", i, got[i], want)
		}
	}
	if len(s.Detector.Score) > 0 && s.Detector.Score[0].Name == "margin" {
		t.Error("a key that is null was filled in")
	}
	if s.Threshold.FPR != nil || s.Threshold.Value == nil {
		t.Errorf("a section to be left out was taken: %+v", s.Threshold)
	}
	if !s.Given("train.batch_size") || !s.Given("seed") || s.Given("compat") || s.Given("threshold.fpr") {
		t.Error("what is extended is not what is given")
	}
	written := string(s.resolved())
	if strings.Contains(written, "compat") || !strings.Contains(written, "batch_size: 8") || !strings.Contains(written, "seed: 5") {
		t.Errorf("written:\n%s", written)
	}
	again, err := parse("y.yaml", written, options())
	if err != nil {
		t.Fatal(err)
	}
	if second := string(again.resolved()); second != written {
		t.Errorf("written again:\n%s\nwant\n%s", second, written)
	}
}

// TestExtendFaults: faults of what is added stand where it is asked for, once, beside
// those of the file and of the override that asks.
func TestExtendFaults(t *testing.T) {
	_, err := extended("{train: {batch_size: 0}, detektor: {}}", nil, []string{"train.epochs=0"})
	want := strings.Join([]string{
		"--set train.epochs: train.epochs: must be >= 1, got 0",
		`x.yaml:4:9: unknown key "detektor"; did you mean "detector"?`,
		"x.yaml:4:9: train.batch_size: must be >= 1 and <= 1048576, got 0",
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("faults\n%v\nwant\n%s", err, want)
	}
	if _, err = extended("{}", nil, []string{"compat=null"}); err == nil || !strings.HasSuffix(err.Error(), "compat: is not asked for") {
		t.Errorf("%v, want the fault of the extension", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("an extension that is no mapping was taken")
		}
	}()
	_, _ = extended("[1]", nil, nil)
}

// TestExtendNested: what is nested is laid over key by key; components are, where both
// name the same one.
func TestExtendNested(t *testing.T) {
	const yaml = "{train: {optimizer: {adam: {learning_rate: 0.5}}, harden: {eps: 0.5, weight: 0.25, also: [{eps: 2}]}}, vae: {encoder: [{dense: {units: 9}}]}, data: {train: {rescale: {scale: 2, offset: 3}}}}"
	for name, c := range map[string]struct {
		set       []string
		has, lack []string // of what is written
	}{
		"two deep":    {[]string{"data.train.rescale.scale=4"}, []string{"scale: 4", "offset: 3", "units: 2"}, []string{"units: 9"}},
		"none":        {[]string{"data.train.rescale=null"}, nil, []string{"offset"}},
		"a pointer":   {[]string{"train.harden.steps=5"}, []string{"eps: 0.5", "weight: 0.25", "steps: 5", "eps: 2}"}, nil},
		"a list":      {[]string{"train.harden.also=[{eps: 7}]"}, []string{"eps: 0.5", "eps: 7"}, []string{"eps: 2}"}},
		"an option":   {[]string{"train.optimizer={adam: {}}"}, []string{"learning_rate: 0.5"}, nil},
		"a bare name": {[]string{"train.optimizer=adam"}, nil, []string{"learning_rate: 0.5"}},
	} {
		s, err := extended(yaml, []string{"threshold"}, append(c.set, "data.train.dataset=iris"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		written := string(s.resolved())
		for _, part := range c.has {
			if !strings.Contains(written, part) {
				t.Errorf("%s: written without %q:\n%s", name, part, written)
			}
		}
		for _, part := range c.lack {
			if strings.Contains(written, part) {
				t.Errorf("%s: written with %q:\n%s", name, part, written)
			}
		}
	}
	for set, want := range map[string]string{
		"train.optimizer={admm: {}}":              `--set train.optimizer: train.optimizer: unknown optimizer "admm"`,
		"train.optimizer={adam: {}, rmsprop: {}}": "--set train.optimizer: train.optimizer: want one optimizer, got the keys adam, rmsprop",
	} {
		if _, err := extended(yaml, nil, []string{set}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", set, err, want)
		}
	}
}
