package spec

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/vaeguard/vaeguard/host/registry"
)

// render writes a tree of yaml.v3.
func render(y *yaml.Node) []byte {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(y); err != nil {
		panic("spec: a spec that cannot be written")
	}
	return []byte(showVariables(b.String()))
}

// writer turns values into YAML, the inverse of decoder.
type writer struct {
	root      *node
	tables    []registry.Any
	names     map[string]string
	vars      map[string]*node  // scalars with a variable, by path
	record    map[string]string // where to keep plain forms, or nil
	unchanged map[string]string // plain forms when the file was read
	brief     bool              // without what is as by default
}

// structure writes the options of a struct. def are its defaults; invalid:
// those of the tags. It returns nil where there is nothing to say.
func (w *writer) structure(v, def reflect.Value, path string) *yaml.Node {
	if worded := asWorded(v); worded != nil && worded.Word() != "" {
		return w.scalar(stringNode(worded.Word()), path)
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range fieldsOf(v.Type()) {
		d := reflect.Value{}
		if def.IsValid() {
			d = def.FieldByIndex(f.index)
		}
		if w.brief && usual(v.FieldByIndex(f.index), d, &f) {
			continue
		}
		y := w.field(v.FieldByIndex(f.index), d, &f, dotted.key(path, f.name))
		if y != nil {
			out.Content = append(out.Content, plainNode(f.name, "!!str"), y)
		}
		if f.lends && y != nil {
			out.Content = append(out.Content, w.lent(v.FieldByIndex(f.index).Interface().(registry.Component), path)...)
		}
	}
	if len(out.Content) == 0 {
		return nil
	}
	return compact(out, path)
}

// field writes one option, or nil if it needs no mention.
func (w *writer) field(v, def reflect.Value, f *field, path string) *yaml.Node {
	if f.secret {
		if n := w.vars[path]; n != nil {
			return rawNode(n)
		}
		return nil
	}
	if a, ok := v.Interface().(registry.Absenter); ok && v.Kind() == reflect.Struct && a.Absent() {
		return nil // a section that would be incomplete
	}
	if f.lends && !v.IsZero() {
		return w.scalar(stringNode(v.Interface().(registry.Component).Name), path)
	}
	if v.Type() == componentType && v.IsZero() || v.Kind() == reflect.Slice && v.IsNil() && f.preset != "" {
		return nil
	}
	zeroDefault := f.preset == "" && (!def.IsValid() || def.IsZero())
	if v.IsZero() && zeroDefault && w.unwritten(v, f) {
		return nil
	}
	return w.value(v, def, f, path)
}

// unwritten reports whether a zero value whose default is zero goes unwritten:
// because it means absent, or because reading it would be an error.
func (w *writer) unwritten(v reflect.Value, f *field) bool {
	if asDecoder(v) != nil {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface, reflect.String:
		return true
	case reflect.Struct, reflect.Bool:
		return false
	}
	return f.check(0) != ""
}

// value writes v as it stands. A type that reads itself but cannot write
// itself is written as the file has it.
func (w *writer) value(v, def reflect.Value, f *field, path string) *yaml.Node {
	if asDecoder(v) != nil {
		return w.custom(v, def, path)
	}
	if v.Type() == componentType {
		return w.component(v.Interface().(registry.Component), path)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return plainNode("null", "!!null")
		}
		return w.value(v.Elem(), reflect.Value{}, &field{kind: f.kind}, path)
	case reflect.Interface:
		if v.IsNil() {
			return plainNode("null", "!!null")
		}
		if v.NumMethod() == 0 {
			return w.anything(v.Interface(), path)
		}
		return w.nested(v, path)
	case reflect.Struct:
		if !def.IsValid() || def.Type() != v.Type() {
			def = reflect.Value{}
		}
		y := w.structure(v, def, path)
		if y == nil && v.CanAddr() {
			return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle}
		}
		return y
	case reflect.Slice, reflect.Array:
		return w.list(v, f, path)
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Interface {
			return w.anything(v.Interface(), path)
		}
		return w.dictionary(v, f, path)
	}
	return w.scalar(scalarNode(v), path)
}

func (w *writer) list(v reflect.Value, f *field, path string) *yaml.Node {
	if v.Type().Elem() == componentType && v.Len() == 1 {
		c := v.Index(0).Interface().(registry.Component)
		if c.Path == dotted.key(path, c.Name) { // written without a list
			return w.component(c, path)
		}
	}
	if _, bare := w.names[path]; bare && v.Type().Elem().Kind() == reflect.Interface && v.Len() == 1 { // likewise
		return w.nested(v.Index(0), path)
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i := range v.Len() {
		y := w.value(v.Index(i), reflect.Value{}, f, dotted.index(path, i))
		if y == nil {
			y = plainNode("null", "!!null")
		}
		out.Content = append(out.Content, y)
	}
	return compact(out, path)
}

func (w *writer) dictionary(v reflect.Value, f *field, path string) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		e := reflect.New(v.Type().Elem()).Elem() // addressable, as Decoder wants it
		e.Set(v.MapIndex(k))
		if y := w.value(e, reflect.Value{}, f, dotted.key(path, k.String())); y != nil {
			out.Content = append(out.Content, stringNode(k.String()), y)
		}
	}
	return compact(out, path)
}

// custom writes a value that reads itself, or nil where it stands for nothing
// and so does its default. A variable within it comes back with the whole
// value as written.
func (w *writer) custom(v, def reflect.Value, path string) *yaml.Node {
	written := w.root.at(path)
	enc, ok := v.Addr().Interface().(registry.Encoder)
	if !ok {
		if written == nil {
			return nil
		}
		return written.yaml()
	}
	x := enc.EncodeValue()
	if x == nil && encodesNothing(def) {
		return nil
	}
	y := (&writer{}).anything(x, path)
	if written == nil {
		return y
	}
	inside := map[string]*node{}
	if written.variables(path, inside); len(inside) == 0 {
		return y
	}
	plain := flatten(y)
	if w.record != nil {
		w.record[path] = plain
	}
	if was, ok := w.unchanged[path]; ok && was == plain {
		return written.yaml()
	}
	return y
}

func encodesNothing(def reflect.Value) bool {
	if !def.IsValid() {
		return true
	}
	enc, ok := settable(def).Addr().Interface().(registry.Encoder)
	return !ok || enc.EncodeValue() == nil
}

// lent are the options of a component that lends them, keys and values.
func (w *writer) lent(c registry.Component, path string) []*yaml.Node {
	v := reflect.ValueOf(c.Value)
	if !v.IsValid() {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	def := reflect.Value{}
	if t := w.table(func(t registry.Any) bool { return t.Kind() == c.Kind }); t != nil {
		if d, _, ok := t.Fresh(c.Name); ok && d.Type() == v.Type() {
			def = d
		}
	}
	if y := w.structure(settable(v), def, path); y != nil {
		return y.Content
	}
	return nil
}

// component writes a name with its options, or the bare name.
func (w *writer) component(c registry.Component, path string) *yaml.Node {
	v := reflect.ValueOf(c.Value)
	if !v.IsValid() {
		return stringNode(c.Name)
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return w.named(c.Name, settable(v), w.table(func(t registry.Any) bool { return t.Kind() == c.Kind }), path)
}

// nested writes a component of an interface type: its name is the one that
// was read, else the first of the table with that type.
func (w *writer) nested(v reflect.Value, path string) *yaml.Node {
	table := w.table(func(t registry.Any) bool { return t.Interface() == v.Type() })
	e := v.Elem()
	if e.Kind() == reflect.Pointer {
		e = e.Elem()
	}
	fits := func(name string) bool {
		if table == nil {
			return false
		}
		fresh, _, ok := table.Fresh(name)
		return ok && fresh.Type() == e.Type()
	}
	name := w.names[path]
	if !fits(name) {
		name = snake(e.Type().Name())
		if table != nil {
			if i := slices.IndexFunc(table.Names(), fits); i >= 0 {
				name = table.Names()[i]
			}
		}
	}
	return w.named(name, settable(e), table, path)
}

func (w *writer) named(name string, v reflect.Value, table registry.Any, path string) *yaml.Node {
	full := dotted.key(path, name)
	var options *yaml.Node
	if asDecoder(v) != nil {
		options = w.custom(v, reflect.Value{}, full)
	} else {
		def := reflect.Value{}
		if table != nil {
			if d, _, ok := table.Fresh(name); ok && d.Type() == v.Type() {
				def = d
			}
		}
		options = w.structure(v, def, full)
	}
	if options == nil {
		return stringNode(name)
	}
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{stringNode(name), options}}
}

func (w *writer) table(is func(registry.Any) bool) registry.Any {
	for _, t := range w.tables {
		if is(t) {
			return t
		}
	}
	return nil
}

// scalar puts the variable back that a value came from.
func (w *writer) scalar(y *yaml.Node, path string) *yaml.Node {
	n := w.vars[path]
	if n == nil {
		return y
	}
	plain := flatten(y)
	if w.record != nil {
		w.record[path] = plain
	}
	if was, ok := w.unchanged[path]; ok && was == plain {
		return rawNode(n)
	}
	return y
}

// settable is a copy of v that can be addressed.
func settable(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	return out
}
