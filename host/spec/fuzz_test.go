package spec_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vaeguard/vaeguard/host/spec"
)

// FuzzParse looks for panics, for messages without a place, and for specs
// that do not survive being written.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), "train.epochs=3")
	}
	f.Add("a: [${X:{}]", "vae.encoder[0].conv2d.filters=8")
	f.Fuzz(func(t *testing.T, text, set string) {
		s, err := parse("f.yaml", text, options(set))
		if err != nil {
			if len(spec.Faults(err)) == 0 {
				t.Fatalf("%T is not Errors", err)
			}
			return
		}
		again, err := parse("f.yaml", string(s.resolved()), options())
		if err != nil {
			t.Fatalf("%v in\n%s", err, s.resolved())
		}
		same(t, s, again)
	})
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add(`{"layers": ["flatten", {"dense": {"units": 3}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var n network
		if err := spec.DecodeJSON([]byte(text), &n, tables...); err != nil && len(spec.Faults(err)) == 0 {
			t.Fatalf("%T is not Errors", err)
		}
	})
}
