// Package classifiertest holds the classifiers of a table to what specs and the
// host rely on beyond the contract of sdktest.Run: what they say before anything
// is configured, how they refuse a config, that they are documented, and that
// this program serves them.
package classifiertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
)

// Run tests one entry. config is one that it accepts. The test binary must serve
// the table, by launch.ServeIfPlugin in its TestMain.
func Run(t *testing.T, e registry.Entry[launch.Shipped], config sdk.Config) {
	t.Run("info", func(t *testing.T) { info(t, e, config) })
	t.Run("documentation", func(t *testing.T) { documentation(t, e) })
	t.Run("config", func(t *testing.T) { refusals(t, e, config) })
	t.Run("serve", func(t *testing.T) { served(t, e, config) })
}

// info compares what it says of itself before and after Configure.
func info(t *testing.T, e registry.Entry[launch.Shipped], config sdk.Config) {
	c := sdktest.Pair(t, e.Default.New())
	before, err := c.Info(t.Context())
	if err != nil {
		t.Fatalf("before Configure: %v", err)
	}
	if before.Name != e.Name || before.Version == "" {
		t.Errorf("before Configure it is %q %q, want %q and a version", before.Name, before.Version, e.Name)
	}
	want := schema(e)
	if !bytes.Equal(before.Schema, want) {
		t.Errorf("Info has the schema %s, Schema returns %s", before.Schema, want)
	}
	if before.Ready && want != nil {
		t.Error("it is ready before Configure")
	}
	if err := c.Configure(t.Context(), config); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	after, err := c.Info(t.Context())
	if err != nil {
		t.Fatalf("after Configure: %v", err)
	}
	if err := after.Validate(); err != nil {
		t.Errorf("after Configure: %v", err)
	}
	if after.Name != before.Name || after.Version != before.Version || !bytes.Equal(after.Schema, before.Schema) {
		t.Errorf("Configure makes %s %s of %s %s, or another schema", after.Name, after.Version, before.Name, before.Version)
	}
	if after.Trainable != (e.Default.Train != nil) {
		t.Errorf("trainable: %t, and the table's Train is %v", after.Trainable, e.Default.Train)
	}
}

// schema is its config's, nil if it takes none.
func schema(e registry.Entry[launch.Shipped]) []byte {
	if c, ok := e.Default.New().(sdk.Configurable); ok {
		return c.Schema()
	}
	return nil
}

// documentation demands what list and explain print.
func documentation(t *testing.T, e registry.Entry[launch.Shipped]) {
	if summary := spec.Summary(e.Doc); !strings.HasSuffix(summary, ".") || !strings.Contains(e.Doc, "\n\n") {
		t.Errorf("Doc wants a sentence, and paragraphs after it: %q", e.Doc)
	}
	text := schema(e)
	if text == nil {
		return
	}
	if err := spec.CheckSchema(text); err != nil {
		t.Fatal(err)
	}
	table := spec.SchemaOptions(text)
	for name, p := range properties(t, text) {
		if !strings.Contains("\n"+table, "\n"+name+" ") {
			t.Errorf("explain does not know the option %s:\n%s", name, table)
		}
		if p["description"] == nil {
			t.Errorf("the option %s has no description", name)
		}
		if d, ok := p["default"]; ok {
			if errs := complaints(t, text, map[string]any{name: d}, name); len(errs) > 0 {
				t.Errorf("the default of %s: %v", name, errs)
			}
		}
	}
}

// properties are the options of a schema.
func properties(t *testing.T, schema []byte) map[string]map[string]any {
	var s struct{ Properties map[string]map[string]any }
	if err := json.Unmarshal(schema, &s); err != nil {
		t.Fatal(err)
	}
	return s.Properties
}

// complaints are those about one option of a config.
func complaints(t *testing.T, schema []byte, config map[string]any, option string) sdk.Diagnostics {
	err := sdk.CheckConfig(schema, encoded(t, config))
	var d sdk.Diagnostics
	if err != nil && !errors.As(err, &d) {
		t.Fatal(err)
	}
	return about(d, option)
}

// about are the complaints at or below an option.
func about(d sdk.Diagnostics, option string) sdk.Diagnostics {
	pointer := "/" + option
	return slices.DeleteFunc(slices.Clone(d), func(x sdk.Diagnostic) bool {
		return x.Pointer != pointer && !strings.HasPrefix(x.Pointer, pointer+"/")
	})
}

func encoded(t *testing.T, config map[string]any) []byte {
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wrong are values of which each option refuses one, if it refuses any.
var wrong = []any{map[string]any{"no such key": true}, -1.5, "no such word", []any{[]any{}}, true}

// refusals breaks a config in every place: what comes back is Diagnostics, with
// the place.
func refusals(t *testing.T, e registry.Entry[launch.Shipped], config sdk.Config) {
	text := schema(e)
	if text == nil {
		return
	}
	good := map[string]any{}
	if len(config.JSON) > 0 {
		if err := json.Unmarshal(config.JSON, &good); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(broken map[string]any) sdk.Diagnostics {
		bad := config
		bad.JSON = encoded(t, broken)
		c, _ := e.Default.New().(sdk.Configurable) // itself: a server checks the schema before it is asked
		err := c.Configure(t.Context(), bad)
		var d sdk.Diagnostics
		if !errors.As(err, &d) || len(d) == 0 {
			t.Errorf("config %s: error %v, want diagnostics", bad.JSON, err)
		}
		return d
	}
	with := func(option string, v any) map[string]any {
		out := maps.Clone(good)
		out[option] = v
		return out
	}
	_ = refused(with("no_such_option", 1))
	tried := 0
	for name := range properties(t, text) {
		for _, v := range wrong {
			if len(complaints(t, text, map[string]any{name: v}, name)) == 0 {
				continue
			}
			tried++
			if d := refused(with(name, v)); len(d) > 0 && len(about(d, name)) == 0 {
				t.Errorf("%s = %v: no complaint points to /%s: %v", name, v, name, d)
			}
			break
		}
	}
	if tried == 0 && len(properties(t, text)) > 0 {
		t.Error("no option refuses anything")
	}
	var s struct{ Required []string }
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	for _, name := range s.Required {
		broken := maps.Clone(good)
		delete(broken, name)
		_ = refused(broken)
	}
}

// served starts it as a subprocess of this program, as a spec does.
func served(t *testing.T, e registry.Entry[launch.Shipped], config sdk.Config) {
	cmd, err := launch.Self(e.Name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := launch.Start(context.WithoutCancel(t.Context()), launch.Options{Command: cmd, Config: config, Threads: 1, Checks: launch.ChecksOff})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Info(t.Context())
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	if got.Name != e.Name {
		t.Errorf("%s is served where %s was asked for", got.Name, e.Name)
	}
}
