package spec

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// example is a component as one would write it: the bare name where that is
// enough, else with the keys that are required.
func example(t registry.Any, name string, tables []registry.Any, depth int) string {
	v, _, _ := t.Fresh(name)
	if asDecoder(v) != nil {
		return name
	}
	if e, ok := v.Addr().Interface().(registry.Exampler); ok {
		return name + ": " + e.Example()
	}
	var options []string
	for _, f := range fieldsOf(v.Type()) {
		if f.required {
			options = append(options, f.name+": "+sample(v.FieldByIndex(f.index), &f, tables, depth+1))
		}
	}
	if len(options) == 0 {
		return name
	}
	return fmt.Sprintf("%s: {%s}", name, strings.Join(options, ", "))
}

// sample is a legal value of an option.
func sample(v reflect.Value, f *field, tables []registry.Any, depth int) string {
	t := v.Type()
	g := &generator{tables: tables}
	if asDecoder(v) != nil {
		if d, ok := g.preset(v, f); ok {
			return fmt.Sprint(d)
		}
		if s, ok := v.Addr().Interface().(registry.Schemer); ok {
			return schemaSample(s.JSONSchema())
		}
		return "1"
	}
	nested := g.table(func(a registry.Any) bool { return a.Interface() == t })
	if t == componentType {
		nested = g.table(func(a registry.Any) bool { return a.Kind() == f.kind })
	}
	if nested != nil && (t == componentType || t.Kind() == reflect.Interface) {
		e := example(nested, nested.Names()[0], tables, depth)
		if strings.Contains(e, ": ") {
			e = "{" + e + "}"
		}
		return e
	}
	switch t.Kind() {
	case reflect.Pointer:
		return sample(reflect.New(t.Elem()).Elem(), f, tables, depth)
	case reflect.Slice, reflect.Array:
		return "[" + sample(reflect.New(t.Elem()).Elem(), f, tables, depth) + "]"
	case reflect.Bool:
		return "true"
	case reflect.String:
		if f.enum != nil {
			return choices(f.enum[:1])
		}
		if f.secret {
			return "${SECRET}"
		}
		return "name"
	case reflect.Struct, reflect.Map:
		return "{}"
	}
	for _, try := range []string{"32", "0.5", "1", "0"} {
		n := &node{}
		n.shape, n.text, n.hint = resolve(try)
		d := &decoder{}
		d.scalar(reflect.New(t).Elem(), n, "", f)
		if len(d.errs) == 0 {
			return try
		}
	}
	return "1"
}

// schemaSample is a value that a schema accepts, for simple schemas.
func schemaSample(s map[string]any) string {
	data, err := json.Marshal(s)
	if err != nil {
		return "1"
	}
	parsed, err := readSchema(data)
	if err != nil {
		return "1"
	}
	for _, a := range append([]*jsonSchema{parsed}, append(parsed.AnyOf, parsed.OneOf...)...) {
		switch {
		case len(a.Enum) > 0:
			return fmt.Sprint(a.Enum[0])
		case slices.Contains(a.types(), "string"):
			return "name"
		}
	}
	return "1"
}
