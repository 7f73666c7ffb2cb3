package specs_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/specs"
)

// anything takes every option: here the specs' own keys are judged; options of
// components are judged where the components are.
type anything struct{ v any }

// DecodeValue implements registry.Decoder.
func (a *anything) DecodeValue(v any) error { a.v = v; return nil }

func table(kind string, names ...string) registry.Any {
	t := registry.NewTable[any](kind)
	for _, n := range names {
		t = t.With(registry.Entry[any]{Name: n, Default: anything{}})
	}
	return t
}

func TestSpecsLoad(t *testing.T) {
	o := spec.Options{
		LookupEnv: func(string) (string, bool) { return "", false },
		Tables: []registry.Any{
			table("layer", "dense", "conv2d", "conv2d_transpose", "max_pooling2d", "dropout", "flatten", "reshape"),
			table("loss", "adversarial", "mse"), table("optimizer", "adam"), table("score", "kl"),
			table("attack", "fgsm", "pgd", "noise"), table("metric", "mse"),
			table("dataset", "fashion-mnist", "fashion-mnist-3k", "mnist", "digits", "breast_cancer"),
		},
	}
	names := specs.Names()
	if len(names) < 9 {
		t.Fatalf("%d specs: %v", len(names), names)
	}
	for _, name := range names {
		data, err := specs.FS.ReadFile(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		s, err := spec.Parse("specs/"+name+".yaml", data, o)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != name {
			t.Errorf("%s.yaml is named %s", name, s.Name)
		}
		if !strings.HasPrefix(name, "bench-") && (s.Data.Calibration == nil || s.Threshold == nil || len(s.Attacks) == 0) {
			t.Errorf("%s is not a whole experiment", name)
		}
	}
}
