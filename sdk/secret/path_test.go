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
