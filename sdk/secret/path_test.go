package secret

import (
	"reflect"
	"testing"
)

func TestPaths(t *testing.T) {
	schema := []byte(`{"definitions": {"file": {"type": "string", "format": "path"}}, "properties": {
		"model": {"$ref": "#/definitions/file"},
		"key": {"type": "string", "format": "path", "private": true},
		"note": {"type": "string"},
		"parts": {"items": {"anyOf": [{"type": "integer"}, {"properties": {"a/b": {"$ref": "#/definitions/file"}}}]}}}}`)
	config := []byte(`{"model": "m.onnx", "key": "k.pem", "note": "n.txt", "parts": [1, {"a/b": "x"}, {"a/b": ""}], "other": "o"}`)
	want := []Path{{Pointer: "/key", Value: "k.pem", Private: true}, {Pointer: "/model", Value: "m.onnx"}, {Pointer: "/parts/1/a~1b", Value: "x"}}
	if got := Paths(schema, config); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, broken := range [][2]string{{"{", `{"model": "m"}`}, {string(schema), "{"}, {"", ""}} {
		if got := Paths([]byte(broken[0]), []byte(broken[1])); got != nil {
			t.Errorf("%q: %+v", broken, got)
		}
	}
}

func TestMarked(t *testing.T) {
	schema := []byte(`{"definitions": {"to": {"peer": true}}, "properties": {
		"url": {"type": "string", "peer": true}, "all": {"peer": true, "properties": {"in": {"peer": true}}},
		"list": {"items": {"properties": {"a/b": {"$ref": "#/definitions/to"}}}}, "memory": {"allowance": true}}}`)
	config := []byte(`{"url": "u", "all": {"in": 1}, "list": [{"a/b": true, "c": 12345678901234567890}], "memory": "1TiB"}`)
	want := []Value{{"/all", `{"in":1}`}, {"/list/0/a~1b", "true"}, {"/url", `"u"`}}
	if got := Marked(schema, config, "peer"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !Uses(schema, "peer") || Uses(schema, "secret") || Uses([]byte("{"), "peer") {
		t.Error("what the schema marks")
	}
	if got, want := Strings(config), []Path{{Pointer: "/memory", Value: "1TiB"}, {Pointer: "/url", Value: "u"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("strings %+v", got)
	}
	less, err := Without(config, "/memory", "/list/0/a~1b", "/absent/x", "")
	if want := `{"all":{"in":1},"list":[{"c":12345678901234567890}],"url":"u"}`; err != nil || string(less) != want {
		t.Errorf("got %s, %v, want %s", less, err, want)
	}
	if _, err := Without([]byte("{"), "/a"); err == nil || Marked(schema, []byte("{"), "peer") != nil {
		t.Error("a config that is no JSON")
	}
}
