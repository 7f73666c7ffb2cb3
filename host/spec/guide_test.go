package spec_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/spec"
)

func guide() spec.Guide {
	return spec.Guide{Root: experiment{}, Tables: tables, Kinds: []spec.Kind{
		{Name: "story", Topics: []spec.Topic{{Name: "dense", Summary: "Of trees.", Page: func() string { return "dense (story)\n" }}}},
		{Name: "train", Topics: []spec.Topic{{Name: "express", Summary: "Fast.", Page: func() string { return "express (train)\n" }}}},
	}}
}

// TestGuide: a word gets all that it means, and a wrong one what was meant.
func TestGuide(t *testing.T) {
	for _, c := range []struct {
		name  string
		heads []string // the pages' first lines
	}{
		{"dense", []string{"dense (layer)", "dense (story)"}},
		{"layer/dense", []string{"dense (layer)"}},
		{"stories/dense", []string{"dense (story)"}},
		{"stories", []string{"dense  Of trees."}},
		{"train", []string{"express  Fast.", "train (mapping)"}},
		{"train.harden.also", []string{"train.harden.also (list of mapping)"}},
		{"data.train", []string{"data.train (mapping)"}},
	} {
		text, err := guide().Explain(c.name)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		at := 0
		for _, head := range c.heads {
			i := strings.Index(text[at:], head+"\n")
			if i < 0 {
				t.Errorf("%s: no %q in its place in\n%s", c.name, head, text)
				break
			}
			at += i
		}
		for _, head := range []string{"dense (layer)", "dense (story)", "train (mapping)"} {
			if strings.Contains("\n"+text, "\n"+head) && !slices.Contains(c.heads, head) {
				t.Errorf("%s: %q is not what was asked for", c.name, head)
			}
		}
	}
	for name, want := range map[string]string{
		"expres":     `unknown name "expres"; did you mean "express"?`,
		"data.trian": `unknown name "data.trian"; did you mean "data.train"?`,
		"layer/dens": `unknown layer "dens"; did you mean "dense"?`,
		"treshold":   `unknown name "treshold"; did you mean "threshold"?`,
	} {
		if _, err := guide().Explain(name); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if _, err := guide().Kind("storys"); err != nil {
		t.Error(err)
	}
	if _, err := guide().Kind("stroy"); err == nil || !strings.Contains(err.Error(), `unknown kind "stroy"; did you mean "story"?`) {
		t.Errorf("got %v", err)
	}
}

// TestEverything: each name and each key is in it.
func TestEverything(t *testing.T) {
	g := guide()
	text := g.Everything()
	for _, k := range g.All() {
		for _, name := range k.Names() {
			if !strings.Contains("\n"+text, "\n"+name+" ("+k.Name+")\n") {
				t.Errorf("%s %s has no page", k.Name, name)
			}
		}
	}
	keys := g.Keys()
	for _, want := range []string{"seed", "data.train.rescale.scale", "train.harden.also.eps", "detector.hidden_layers.head"} {
		if !slices.Contains(keys, want) {
			t.Errorf("no key %s in %v", want, keys)
		}
	}
	for _, key := range keys {
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			if head, _, _ := strings.Cut(text, "(mapping)"); !strings.Contains(head, "\n"+key+" ") {
				t.Errorf("%s is not among the first keys", key)
			}
			continue
		}
		_, page, ok := strings.Cut("\n"+text, "\n"+key[:i]+" (")
		if page, _, _ = strings.Cut(page, " (mapping)"); !ok || !strings.Contains(page, "\n"+key[i+1:]+" ") {
			t.Errorf("%s is not in the page of its section:\n%s", key, page)
		}
	}
}

// TestSchemaOptions documents what plugins declare.
func TestSchemaOptions(t *testing.T) {
	const schema = `{"type": "object", "required": ["url", "n", "to"], "definitions": {"layer": {"type": "object"}}, "properties": {
  "layers": {"anyOf": [{"type": "array", "items": {"$ref": "#/definitions/layer"}}, {"$ref": "#/definitions/layer"}], "description": "one by one"},
  "url": {"type": "string", "pattern": "^https?://", "examples": ["http://localhost:8000"], "description": "the server"},
  "n": {"type": "integer", "exclusiveMinimum": 0, "maximum": 9},
  "to": {"type": "string", "format": "path"},
  "range": {"type": ["array", "null"], "items": {"oneOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}, "minItems": 2, "maxItems": 2},
  "widths": {"type": "array", "items": {"type": "integer", "minimum": 1}, "default": [8, 4]},
  "kind": {"enum": ["auto", "none"], "default": "auto"},
  "deep": {"type": "object", "properties": {"on": {"type": "boolean", "default": false}}},
  "token": {"type": "string", "secret": true},
  "free": true, "none": null, "strange": {"description": 3, "default": null}
}}`
	golden(t, "testdata/schemaoptions.golden", spec.SchemaOptions([]byte(schema))+"\n"+spec.SchemaExample([]byte(schema))+"\n")
	for _, broken := range []string{"", "{", "[]", `{"properties": {}}`, `{"pattern": "("}`} {
		if got := spec.SchemaOptions([]byte(broken)) + spec.SchemaExample([]byte(broken)); got != "" {
			t.Errorf("%s gives %q", broken, got)
		}
	}
	if got := spec.SchemaOptions([]byte(`{"Properties": {"a": {"type": "string"}}}`)); !strings.Contains(got, "a       string") {
		t.Errorf("got %q", got)
	}
}

func TestSummary(t *testing.T) {
	for doc, want := range map[string]string{
		"One step (Goodfellow et al. 2015, arXiv). Then more.": "One step (Goodfellow et al. 2015, arXiv).",
		"One.\n\nTwo.":             "One.",
		"No stop":                  "No stop",
		"":                         "",
		"Über alles. Über nichts.": "Über alles.",
	} {
		if got := spec.Summary(doc); got != want {
			t.Errorf("Summary(%q) = %q, want %q", doc, got, want)
		}
	}
}
