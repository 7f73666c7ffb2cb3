package spec

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Explain documents a component (dense, or layer/dense where several kinds
// share the name), a kind (layer) or a key of files that are read into structs
// of root's type (train, vae.latent_dim): what it is, its options with type,
// default and bounds, and an example. A name that is several of them gets all.
func Explain(name string, root any, tables ...registry.Any) (string, error) {
	kind, component, both := strings.Cut(name, "/")
	var out []string
	known := []string{}
	for _, t := range tables {
		known = append(known, t.Kind())
		known = append(known, t.Names()...)
		if both && t.Kind() != kind {
			continue
		}
		want := name
		if both {
			want = component
		}
		if v, doc, ok := t.Fresh(want); ok {
			out = append(out, explainComponent(t, want, v, doc, tables))
		}
	}
	if len(out) == 0 {
		for _, t := range tables {
			if name == t.Kind() || name == t.Kind()+"s" {
				return explainKind(t), nil
			}
		}
	}
	if text := explainKey(name, fresh(root), tables); text != "" {
		out = append(out, text)
	}
	if len(out) > 0 {
		return strings.Join(out, "\n"), nil
	}
	return "", errors.New(Unknown("name", name, append(known, names(fieldsOf(fresh(root).Type()))...)))
}

func explainComponent(t registry.Any, name string, v reflect.Value, doc string, tables []registry.Any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n\n", name, t.Kind())
	if doc != "" {
		fmt.Fprintf(&b, "%s\n\n", strings.TrimSpace(doc))
	}
	g := &generator{tables: tables}
	if asDecoder(v) == nil {
		options(&b, v, g)
	}
	fmt.Fprintf(&b, "Example:\n\n  %s\n", example(t, name, tables, 0))
	return b.String()
}

func explainKind(t registry.Any) string {
	var rows [][]string
	for _, name := range t.Names() {
		_, doc, _ := t.Fresh(name)
		rows = append(rows, []string{name, Summary(doc)})
	}
	return columns(rows)
}

// Summary is the first sentence of a component's documentation.
func Summary(doc string) string {
	doc, _, _ = strings.Cut(strings.TrimSpace(doc), "\n\n")
	doc = strings.Join(strings.Fields(doc), " ")
	if i := strings.Index(doc, ". "); i >= 0 {
		return doc[:i+1]
	}
	return doc
}

// explainKey documents a dotted key below v, or returns nothing.
func explainKey(path string, v reflect.Value, tables []registry.Any) string {
	g := &generator{tables: tables}
	keys := strings.Split(path, ".")
	for i, name := range keys {
		if v.Kind() == reflect.Slice {
			v = reflect.New(v.Type().Elem()).Elem()
		}
		if v.Kind() == reflect.Pointer {
			v = reflect.New(v.Type().Elem()).Elem()
		}
		if v.Kind() != reflect.Struct || v.Type() == componentType {
			return ""
		}
		f := find(fieldsOf(v.Type()), name)
		if f == nil {
			if v, f = g.lentField(v.Type(), name); f == nil {
				return ""
			}
		} else {
			v = v.FieldByIndex(f.index)
		}
		if i < len(keys)-1 {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s (%s)\n\n%s\n\n", path, g.typeName(v.Type(), f), f.doc)
		if inner := v; inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			v = reflect.New(inner.Type().Elem()).Elem()
		}
		if v.Kind() == reflect.Struct && v.Type() != componentType && asDecoder(v) == nil {
			options(&b, v, g)
			return b.String()
		}
		var rows [][]string
		if d, ok := g.preset(v, f); ok {
			rows = append(rows, []string{"default", shown(d)})
		}
		if len(f.bounds) > 0 {
			rows = append(rows, []string{"bounds", f.limits()})
		}
		if f.enum != nil {
			rows = append(rows, []string{"one of", choices(f.enum)})
		}
		if t := g.table(func(a registry.Any) bool { return a.Kind() == f.kind }); f.kind != "" && t != nil {
			rows = append(rows, []string{"one of", strings.Join(t.Names(), ", ")})
		}
		b.WriteString(columns(rows))
		return b.String()
	}
	return ""
}

// options writes the table of a struct's options; v holds the defaults.
func options(b *strings.Builder, v reflect.Value, g *generator) {
	fields := fieldsOf(v.Type())
	if len(fields) == 0 {
		b.WriteString("It has no options.\n\n")
		return
	}
	rows := [][]string{{"option", "type", "default", "legal", "meaning"}}
	for _, f := range fields {
		d := "-"
		if x, ok := g.preset(v.FieldByIndex(f.index), &f); ok {
			d = shown(x)
		} else if number(f.typ.Kind()) {
			d = "0"
		}
		if f.required {
			d = "required"
		}
		legal := f.limits()
		if f.enum != nil {
			legal = choices(f.enum)
		}
		rows = append(rows, []string{f.name, g.typeName(f.typ, &f), d, cmp.Or(legal, "-"), f.doc})
	}
	for _, f := range fields {
		if f.lends {
			g.lend(&f, func(_ reflect.Value, o field, of []string) {
				rows = append(rows, []string{o.name, g.typeName(o.typ, &o), "-", "-", fmt.Sprintf("of %s %s: see explain %s", f.kind, strings.Join(of, ", "), of[0])})
			})
		}
	}
	b.WriteString(columns(rows) + "\n")
}

// shown is a default as YAML would have it on one line.
func shown(x any) string {
	if k := reflect.ValueOf(x).Kind(); k == reflect.Map || k == reflect.Slice {
		if data, err := json.Marshal(x); err == nil {
			return strings.NewReplacer(`"`, "", ":", ": ", ",", ", ").Replace(string(data))
		}
	}
	return fmt.Sprint(x)
}

// columns aligns all cells but the last of each row.
func columns(rows [][]string) string {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func number(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Float64 }

// schemaTypes names the types that a schema accepts.
func schemaTypes(s map[string]any) string {
	data, err := json.Marshal(s)
	if err != nil {
		return "see meaning"
	}
	parsed, err := readSchema(data)
	if err != nil {
		return "see meaning"
	}
	var out []string
	for _, a := range append([]*jsonSchema{parsed}, append(parsed.AnyOf, parsed.OneOf...)...) {
		types := a.types()
		if len(types) == 0 && a.Enum != nil {
			types = []string{"string"}
		}
		for _, t := range types {
			t = cmp.Or(map[string]string{"array": "list", "object": "mapping", "boolean": "true/false"}[t], t)
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	if len(out) == 0 {
		return "see meaning"
	}
	return strings.Join(out, " or ")
}

// typeName says in a word what a value is in YAML.
func (g *generator) typeName(t reflect.Type, f *field) string {
	if f.lends {
		return "string"
	}
	if t == componentType {
		return f.kind
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[registry.Decoder]()) {
		if s, ok := reflect.New(t).Interface().(registry.Schemer); ok {
			return schemaTypes(s.JSONSchema())
		}
		return "see meaning"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.typeName(t.Elem(), f)
	case reflect.Bool:
		return "true/false"
	case reflect.String:
		if f.path {
			return "path"
		}
		return "string"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct, reflect.Map:
		return "mapping"
	case reflect.Slice, reflect.Array:
		return "list of " + g.typeName(t.Elem(), f)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return "any"
		}
		if t := g.table(func(a registry.Any) bool { return a.Interface() == t }); t != nil {
			return t.Kind()
		}
		return "component"
	}
	return "integer"
}
