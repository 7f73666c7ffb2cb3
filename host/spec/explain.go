package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vaeguard/vaeguard/host/registry"
)

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

// Summary is the first sentence of a component's documentation: up to a full
// stop before a capital letter, which "et al. 2018" is not.
func Summary(doc string) string {
	doc, _, _ = strings.Cut(strings.TrimSpace(doc), "\n\n")
	doc = strings.Join(strings.Fields(doc), " ")
	for i := range len(doc) - 2 {
		if next, _ := utf8.DecodeRuneInString(doc[i+2:]); doc[i:i+2] == ". " && unicode.IsUpper(next) {
			return doc[:i+1]
		}
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
			if below := sections(v.Type()); below != nil {
				fmt.Fprintf(&b, "Further keys: explain %s.%s\n", path, strings.Join(below, ", "+path+"."))
			}
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

// sections are the keys of a struct that hold mappings with keys of their own,
// or lists of such.
func sections(t reflect.Type) []string {
	var out []string
	for _, f := range fieldsOf(t) {
		if inside(f.typ) != nil {
			out = append(out, f.name)
		}
	}
	return out
}

// inside is the struct whose keys stand below a key of type t; nil: there are
// none.
func inside(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == componentType || reflect.PointerTo(t).Implements(reflect.TypeFor[registry.Decoder]()) {
		return nil
	}
	return t
}

// OptionTable is the table of a struct's options, a value whose fields hold the
// defaults, as explain prints it, with the tables of the mappings below. v may be
// a pointer.
func OptionTable(v any, tables ...registry.Any) string {
	x := reflect.ValueOf(v)
	if x.Kind() == reflect.Pointer {
		x = x.Elem()
	}
	return optionTable(settable(x), &generator{tables: tables}, nil)
}

// optionTable is OptionTable; around are the structs that v stands in.
func optionTable(v reflect.Value, g *generator, around []reflect.Type) string {
	var b strings.Builder
	options(&b, v, g)
	around = append(around, v.Type())
	for _, f := range fieldsOf(v.Type()) {
		if t := inside(f.typ); t != nil && !slices.Contains(around, t) { // a struct that holds itself ends
			fmt.Fprintf(&b, "Options of %s:\n\n%s\n", f.name, optionTable(reflect.New(t).Elem(), g, around))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
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
