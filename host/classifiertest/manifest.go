package classifiertest

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/sdk"
)

// Manifest holds a plugin.yaml to what the classifier says of itself: name,
// version, summary and the schema of its config, which lint and editors read
// without starting anything. update writes the schema first; it must come
// last in the file.
func Manifest(t *testing.T, file string, c sdk.Classifier, summary string, update bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var described []byte
	if c, ok := c.(sdk.Configurable); ok {
		described = c.Schema()
	}
	if update && described != nil {
		head, _, _ := bytes.Cut(text, []byte("config:"))
		schema := bytes.ReplaceAll(bytes.TrimSpace(described), []byte("\n"), []byte("\n  "))
		text = append(append(bytes.Clone(head), "config:\n  "...), append(schema, '\n')...)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := host.ReadManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != info.Name || m.Version != info.Version {
		t.Errorf("%s is of %s %s, the plugin is %s %s", file, m.Name, m.Version, info.Name, info.Version)
	}
	if m.Summary != summary {
		t.Errorf("%s: summary %q, want %q", file, m.Summary, summary)
	}
	if (m.Schema() == nil) != (described == nil) {
		t.Fatalf("%s has a schema of the config: %t; the plugin has one: %t", file, m.Schema() != nil, described != nil)
	}
	if described == nil {
		return
	}
	var got, want any
	if err := json.Unmarshal(m.Schema(), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(described, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: config is not the plugin's schema: go test -update", file)
	}
}
