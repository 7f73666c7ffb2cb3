package spec

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Schema is the JSON Schema (draft-07) of files that Parse reads into structs
// of v's type, with the given components, indented: what editors check and
// complete YAML with. Scalars may also be ${VAR}.
func Schema(title string, v any, tables ...registry.Any) []byte {
	g := &generator{tables: tables, variables: true, definitions: map[string]any{}}
	root := g.structure(fresh(v), true)
	root["title"] = title
	return g.document(root)
}

// fresh is an empty struct of the type of v, or of what v points to.
func fresh(v any) reflect.Value {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return reflect.New(t).Elem()
}

// SchemaOf is the JSON Schema (draft-07) of one options struct, a value whose
// fields hold the defaults: what a plugin whose config DecodeJSON reads
// declares. v may be a pointer.
func SchemaOf(v any, tables ...registry.Any) []byte {
	g := &generator{tables: tables, definitions: map[string]any{}}
	x := reflect.ValueOf(v)
	if x.Kind() == reflect.Pointer {
		x = x.Elem()
	}
	return g.document(g.structure(settable(x), true))
}

// generator collects one definition per table that is referred to.
type generator struct {
	tables      []registry.Any
	variables   bool // scalars may be ${VAR}
	definitions map[string]any
}

func (g *generator) document(root map[string]any) []byte {
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	if g.variables {
		g.definitions["variable"] = map[string]any{"type": "string", "pattern": `\$\{[A-Za-z_][A-Za-z0-9_]*(:[^}]*)?\}`, "description": "a variable of the environment, with a default"}
	}
	if len(g.definitions) > 0 {
		root["definitions"] = g.definitions
	}
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("spec: a schema that cannot be written")
	}
	return append(data, '\n')
}

// structure describes the options of a struct whose value is its defaults.
func (g *generator) structure(v reflect.Value, closed bool) map[string]any {
	properties := map[string]any{}
	var required []string
	put := func(v reflect.Value, f field) {
		p := g.field(v, &f)
		if f.doc != "" {
			if _, ok := p["$ref"]; ok { // what stands beside a $ref is ignored
				p = map[string]any{"allOf": []any{p}}
			}
			p["description"] = f.doc
		}
		properties[f.name] = p
	}
	for _, f := range fieldsOf(v.Type()) {
		put(v.FieldByIndex(f.index), f)
		if f.required {
			required = append(required, f.name)
		}
		if f.lends {
			g.lend(&f, func(v reflect.Value, o field, _ []string) { put(v, o) })
		}
	}
	out := map[string]any{"type": "object", "properties": properties}
	if closed {
		out["additionalProperties"] = false
	}
	if required != nil {
		out["required"] = required
	}
	return out
}

func (g *generator) field(v reflect.Value, f *field) map[string]any {
	out := g.value(v, f)
	if d, ok := g.preset(v, f); ok {
		if _, ref := out["$ref"]; ref {
			out = map[string]any{"allOf": []any{out}}
		}
		out["default"] = d
	}
	return out
}

// preset is the default that editors show, if there is a plain one.
func (g *generator) preset(v reflect.Value, f *field) (any, bool) {
	if f.preset != "" {
		n := &node{}
		n.shape, n.text, n.hint = resolve(f.preset)
		d, err := n.value()
		return d, err == nil
	}
	if f.required || v.IsZero() && v.Kind() != reflect.Bool {
		return nil, false
	}
	if enc, ok := v.Interface().(registry.Encoder); ok {
		d := enc.EncodeValue()
		return d, d != nil
	}
	switch v.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64, reflect.Float32:
		return v.Interface(), true
	}
	return nil, false
}

// value describes what may stand for v.
func (g *generator) value(v reflect.Value, f *field) map[string]any {
	if asDecoder(v) != nil {
		if s, ok := v.Addr().Interface().(registry.Schemer); ok {
			return g.open(maps.Clone(s.JSONSchema()))
		}
		return map[string]any{}
	}
	t := v.Type()
	if f.lends {
		return g.open(g.scalar(reflect.TypeFor[string](), f))
	}
	if t == componentType {
		return g.reference(g.table(func(a registry.Any) bool { return a.Kind() == f.kind }))
	}
	switch t.Kind() {
	case reflect.Pointer:
		inner := g.value(reflect.New(t.Elem()).Elem(), f)
		if inner["type"] == "object" {
			inner["type"] = []string{"object", "null"}
		}
		return inner
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return map[string]any{}
		}
		return g.reference(g.table(func(a registry.Any) bool { return a.Interface() == t }))
	case reflect.Struct:
		options := g.structure(v, true)
		if w := asWorded(v); w != nil {
			options["type"] = []string{"object", "null"}
			return g.open(map[string]any{"anyOf": []any{options, map[string]any{"type": "string", "enum": w.Words()}}})
		}
		return options
	case reflect.Slice, reflect.Array:
		items := g.value(reflect.New(t.Elem()).Elem(), f)
		array := map[string]any{"type": "array", "items": items}
		if t.Kind() == reflect.Array {
			array["minItems"], array["maxItems"] = t.Len(), t.Len()
		}
		if t.Elem() == componentType || t.Elem().Kind() == reflect.Interface && t.Elem().NumMethod() > 0 {
			return map[string]any{"anyOf": []any{array, items}}
		}
		return array
	case reflect.Map:
		return map[string]any{"type": "object"}
	}
	return g.open(g.scalar(t, f))
}

func (g *generator) scalar(t reflect.Type, f *field) map[string]any {
	out := map[string]any{}
	switch t.Kind() {
	case reflect.Bool:
		out["type"] = "boolean"
	case reflect.String:
		out["type"] = "string"
		if table := g.table(func(a registry.Any) bool { return a.Kind() == f.kind }); f.kind != "" && table != nil {
			out["enum"] = table.Names()
		}
		if f.enum != nil {
			out["enum"] = slices.DeleteFunc(slices.Clone(f.enum), func(e string) bool { return e == "" })
		}
		if f.path {
			out["format"] = "path"
		}
		if f.secret {
			out["secret"] = true
		}
	case reflect.Float32, reflect.Float64:
		out["type"] = "number"
	default:
		out["type"] = "integer"
		if t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64 {
			out["minimum"] = 0
		}
	}
	for _, b := range f.bounds {
		out[map[string]string{">": "exclusiveMinimum", ">=": "minimum", "<": "exclusiveMaximum", "<=": "maximum"}[b.op]] = b.limit
	}
	return out
}

// open lets a variable stand for anything but free text.
func (g *generator) open(s map[string]any) map[string]any {
	_, limited := s["enum"]
	if !g.variables || s["type"] == "string" && !limited {
		return s
	}
	return map[string]any{"anyOf": []any{s, map[string]any{"$ref": "#/definitions/variable"}}}
}

func (g *generator) table(is func(registry.Any) bool) registry.Any {
	for _, t := range g.tables {
		if is(t) {
			return t
		}
	}
	return nil
}

// reference points to the definition of a table, made when first needed.
func (g *generator) reference(table registry.Any) map[string]any {
	if table == nil {
		return map[string]any{}
	}
	kind := table.Kind()
	if _, ok := g.definitions[kind]; !ok {
		g.definitions[kind] = nil // for components that nest
		g.definitions[kind] = g.components(table)
	}
	return map[string]any{"$ref": "#/definitions/" + kind}
}

// components describes a bare name, or one name with options.
func (g *generator) components(table registry.Any) map[string]any {
	bareNames := []string{}
	options := map[string]any{}
	for _, name := range table.Names() {
		v, doc, _ := table.Fresh(name)
		var o map[string]any
		if asDecoder(v) != nil {
			o = g.value(v, &field{})
		} else {
			o = g.structure(v, true)
			if _, ok := o["required"]; !ok {
				o["type"] = []string{"object", "null"}
				bareNames = append(bareNames, name)
			}
		}
		o["description"] = doc
		options[name] = o
	}
	object := map[string]any{"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": options}
	if len(bareNames) == 0 {
		return object
	}
	return map[string]any{"anyOf": []any{map[string]any{"type": "string", "enum": bareNames}, object}}
}
