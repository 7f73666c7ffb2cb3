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

// FuzzSchemaOptions: a schema comes from a plugin's folder; whatever it is,
// explain survives it, and the example is one that a config can be read from.
func FuzzSchemaOptions(f *testing.F) {
	for _, s := range []string{
		`{"type": "object", "required": ["a", "b"], "properties": {"a": {"type": ["array", "null"], "items": {"oneOf": [{"type": "number"}, {"$ref": "#/definitions/x"}]}}, "b": null}}`,
		`{"Properties": {"a": {"properties": {"b": true}, "Enum": [1, "x"], "default": {"c": []}}}, "required": ["a"]}`,
		`{"required": ["x: y", "{"], "properties": {"x: y": {"examples": ["a: b"]}, "{": {"enum": [null]}}}`,
		`{"required": ["token", "path"], "properties": {"token": {"type": "string", "secret": true}, "path": {"type": "string", "format": "path", "default": "true"}}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, schema string) {
		spec.SchemaOptions([]byte(schema))
		example := spec.SchemaExample([]byte(schema))
		if example == "" {
			return
		}
		text := "api_version: vaeguard/v1\nkind: Experiment\nname: x\nclassifier: {plugin: x, config: " + example + "}\n"
		o := options()
		o.Literal = true // ${SECRET} is not set here
		if _, err := parse("f.yaml", text, o); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	})
}
