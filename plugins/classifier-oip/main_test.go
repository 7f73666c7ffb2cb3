package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk"
)

var update = flag.Bool("update", false, "write plugin.yaml's config anew")

// TestManifest holds plugin.yaml to what the plugin says of itself.
func TestManifest(t *testing.T) {
	c := oip.New().(sdk.Configurable)
	if *update {
		text, err := os.ReadFile(launch.ManifestName)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := bytes.Cut(text, []byte("config:"))
		schema := bytes.ReplaceAll(bytes.TrimSpace(c.Schema()), []byte("\n"), []byte("\n  "))
		text = append(append(head, "config:\n  "...), append(schema, '\n')...)
		if err := os.WriteFile(launch.ManifestName, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(launch.ManifestName)
	if err != nil {
		t.Fatal(err)
	}
	m, err := host.ReadManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != oip.Name || m.Version != oip.Version {
		t.Errorf("plugin.yaml is of %s %s, the plugin is %s %s", m.Name, m.Version, oip.Name, oip.Version)
	}
	var got, want any
	if err := json.Unmarshal(m.Schema(), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(c.Schema(), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("plugin.yaml's config is not the plugin's schema: go test -update")
	}
}
