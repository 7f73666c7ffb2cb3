package secret_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/secret"
)

func TestSecrets(t *testing.T) {
	const schema = `{"type": "object", "properties": {"layers": {"type": "array", "items": {"type": "object"}}, "token": {"type": "string", "secret": true}}}`
	const nested = `{"definitions": {"key": {"type": "string", "secret": true}, "loop": {"allOf": [{"$ref": "#/definitions/loop"}, {"$ref": "#/definitions/loop"}]}},
		"properties": {"a": {"$ref": "#/definitions/key"}, "b": {"oneOf": [{"type": "integer"}, {"$ref": "#/definitions/key"}]},
		"c": {"items": [{}, {"$ref": "#/definitions/key"}]}, "d": {"additionalProperties": {"secret": true}}, "e": {"$ref": "#/definitions/loop"}}}`
	const config = `{"a": "one", "b": "two", "c": ["x", "three"], "d": {"k": {"deep": ["four"]}}, "e": "five"}`
	if got := strings.Join(secret.Values([]byte(nested), []byte(config)), " "); got != "one two three four" {
		t.Errorf("secrets %s", got)
	}
	if got := string(secret.Redact([]byte(nested), []byte(config))); got != `{"a":"***","b":"***","c":["x","***"],"d":{"k":"***"},"e":"five"}` {
		t.Errorf("redacted %s", got)
	}
	got := string(secret.Redact([]byte(schema), []byte(`{"layers": [{"units": 1}], "token": "hunter2"}`)))
	if got != `{"layers":[{"units":1}],"token":"***"}` {
		t.Errorf("redacted %s", got)
	}
	for pointer, want := range map[string]bool{"": false, "/a": true, "/b": true, "/c/0": false, "/c/1": true, "/d/k/deep/0": true, "/e": false} {
		if got := secret.Marks([]byte(nested), pointer); got != want {
			t.Errorf("%q is a secret: %v, want %v", pointer, got, want)
		}
	}
	if got := string(secret.Redact([]byte(nested), []byte("{"))); got != "{}" {
		t.Errorf("of what is no JSON: %s", got)
	}
}
