package spec

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Guide is the documentation of a kind of files: what `list` and `explain`
// print.
type Guide struct {
	Root   any            // a struct of the type that files are read into
	Tables []registry.Any // components
	Kinds  []Kind         // further names that a file can have, which no table holds
}

// Kind is one kind of names, such as layer.
type Kind struct {
	Name   string // singular
	Topics []Topic
}

// Topic is one name.
type Topic struct {
	Name    string
	Summary string        // one sentence
	Page    func() string // all about it, with a line feed at the end
}

// Called reports whether a word means the kind: its name or the plural.
func (k Kind) Called(word string) bool {
	return word == k.Name || word == k.Name+"s" || word == k.Name+"es" || word == strings.TrimSuffix(k.Name, "y")+"ies"
}

// Names are the topics' names.
func (k Kind) Names() []string {
	out := make([]string, len(k.Topics))
	for i, t := range k.Topics {
		out[i] = t.Name
	}
	return out
}

// List is a line for each topic: its name and what it is.
func (k Kind) List() string {
	rows := make([][]string, len(k.Topics))
	for i, t := range k.Topics {
		rows[i] = []string{t.Name, t.Summary}
	}
	return columns(rows)
}

// All are the kinds of the tables, then the further ones.
func (g Guide) All() []Kind {
	var out []Kind
	for _, t := range g.Tables {
		k := Kind{Name: t.Kind()}
		for _, name := range t.Names() {
			v, doc, _ := t.Fresh(name)
			k.Topics = append(k.Topics, Topic{name, Summary(doc), func() string { return explainComponent(t, name, v, doc, g.Tables) }})
		}
		out = append(out, k)
	}
	return append(out, g.Kinds...)
}

// Kind is the kind that a word means. The error lists the known ones, or names
// the one that may have been meant.
func (g Guide) Kind(word string) (Kind, error) {
	all := g.All()
	known := make([]string, len(all))
	for i, k := range all {
		if k.Called(word) {
			return k, nil
		}
		known[i] = k.Name
	}
	return Kind{}, errors.New(Unknown("kind", word, known))
}

// Explain documents a name (dense, or layer/dense where several kinds share
// it), a kind (layer) or a key of the files (train, vae.latent_dim): what it is,
// its options with type, default and bounds, and an example. A word that is
// several of them gets all.
func (g Guide) Explain(name string) (string, error) {
	kind, topic, both := strings.Cut(name, "/")
	if !both {
		kind, topic = "", name
	}
	var pages, known []string
	all := g.All()
	for _, k := range all {
		known = append(append(known, k.Name), k.Names()...)
		for _, t := range k.Topics {
			if t.Name == topic && (kind == "" || k.Called(kind)) {
				pages = append(pages, t.Page())
			}
		}
	}
	for _, k := range all {
		if k.Called(name) {
			pages = append(pages, k.List())
		}
	}
	if text := explainKey(name, fresh(g.Root), g.Tables); text != "" {
		pages = append(pages, text)
	}
	if len(pages) > 0 {
		return strings.Join(pages, "\n"), nil
	}
	if k, err := g.Kind(kind); both && err == nil {
		return "", errors.New(Unknown(k.Name, topic, k.Names()))
	}
	if strings.Contains(name, ".") {
		known = g.Keys()
	} else {
		known = append(known, names(fieldsOf(fresh(g.Root).Type()))...)
	}
	return "", errors.New(Unknown("name", name, known))
}

// Everything is all that can be explained: the files' keys, section by section,
// then every name of every kind.
func (g Guide) Everything() string {
	var b strings.Builder
	b.WriteString("Keys\n\n")
	options(&b, fresh(g.Root), &generator{tables: g.Tables})
	g.keys(func(path string, section bool) {
		if section {
			b.WriteString(explainKey(path, fresh(g.Root), g.Tables) + "\n")
		}
	})
	for _, k := range g.All() {
		for _, t := range k.Topics {
			b.WriteString(t.Page() + "\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Keys are the paths of all keys of the files, those that components lend to
// the section around them included.
func (g Guide) Keys() []string {
	var out []string
	g.keys(func(path string, _ bool) { out = append(out, path) })
	return out
}

// keys visits every key, in the order of the structs; section: it has keys of
// its own.
func (g Guide) keys(visit func(path string, section bool)) {
	gen := &generator{tables: g.Tables}
	var walk func(path string, around []reflect.Type)
	walk = func(path string, around []reflect.Type) {
		each := func(f *field) {
			at, t := dotted.key(path, f.name), inside(f.typ)
			visit(at, t != nil)
			if t != nil && !slices.Contains(around, t) { // a struct that holds itself ends
				walk(at, append(slices.Clip(around), t))
			}
		}
		for _, f := range fieldsOf(around[len(around)-1]) {
			each(&f)
			if f.lends {
				gen.lend(&f, func(_ reflect.Value, o field, _ []string) { each(&o) })
			}
		}
	}
	walk("", []reflect.Type{fresh(g.Root).Type()})
}
