package sdk_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
)

func TestCheckConfig(t *testing.T) {
	const schema = `{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": false, "required": ["layers"],
		"properties": {"layers": {"type": "array", "items": {"type": "object", "properties": {"units": {"type": "integer", "minimum": 1}}}},
		"a/b": {"enum": [1]}, "token": {"type": "string", "pattern": "^k", "secret": true}}}`
	cases := []struct{ name, schema, config, pointer, want string }{
		{"good", schema, `{"layers": [{"units": 2}], "token": "k1"}`, "", ""},
		{"deep", schema, `{"layers": [{"units": 1}, {"units": 0}]}`, "/layers/1/units", "minimum"},
		{"missing", schema, `{}`, "", "layers"},
		{"empty", schema, ``, "", "layers"},
		{"unknown key", schema, `{"layers": [], "layer": 1}`, "", "layer"},
		{"escaped", schema, `{"layers": [], "a/b": 2}`, "/a~1b", ""},
		{"secret", schema, `{"layers": [], "token": "hunter2"}`, "/token", "a secret"},
		{"not JSON", schema, `{`, "", "not JSON"},
		{"no schema, no config", "", `{}`, "", ""},
		{"no schema", "", `{"a": 1}`, "", "takes no config"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := sdk.CheckConfig([]byte(c.schema), []byte(c.config))
			var d sdk.Diagnostics
			if !errors.As(err, &d) {
				if c.want != "" || err != nil {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if d[0].Pointer != c.pointer || !strings.Contains(d[0].Message, c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%#v, want %s: %q", d, c.pointer, c.want)
			}
		})
	}
	if err := sdk.CheckConfig([]byte(`{"$ref": "file:///etc/passwd"}`), nil); sdk.KindOf(err) != sdk.Internal {
		t.Errorf("a schema that points outside: %v", err)
	}
}

// FuzzCheckConfig checks any config against any schema.
func FuzzCheckConfig(f *testing.F) {
	f.Add([]byte(`{"type": "object", "properties": {"a": {"type": "integer"}}}`), []byte(`{"a": "b"}`))
	f.Add([]byte(`{"$ref": "file:///etc/passwd"}`), []byte(`{}`))
	f.Add([]byte(``), []byte(`{"a": 1}`))
	f.Fuzz(func(t *testing.T, schema, config []byte) {
		if len(schema)+len(config) > 1<<12 {
			return
		}
		if err := sdk.CheckConfig(schema, config); err != nil && err.Error() == "" {
			t.Error("an error without a message")
		}
	})
}
