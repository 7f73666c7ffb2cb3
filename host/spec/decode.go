package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// decoder walks a tree against structs and collects every fault.
type decoder struct {
	file   string
	style  pathStyle
	tables []registry.Any
	names  map[string]string // component names by path, for writing them again
	// foreign ignores options of another component than the one that lends them.
	foreign bool
	ignored []string
	errs    Errors
}

func (d *decoder) fail(n *node, path, format string, args ...any) {
	file := d.file
	if n.file != "" {
		file = n.file
	}
	d.errs = append(d.errs, Error{File: file, Pos: n.pos, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) byKind(kind string) registry.Any {
	for _, t := range d.tables {
		if t.Kind() == kind {
			return t
		}
	}
	return nil
}

func (d *decoder) byType(t reflect.Type) registry.Any {
	for _, table := range d.tables {
		if table.Interface() == t {
			return table
		}
	}
	return nil
}

// structure fills a struct from a mapping, then lets it check itself. given
// is false for a section that the file does not have: it gets its defaults,
// and nothing is required of it.
func (d *decoder) structure(v reflect.Value, n *node, path string, given bool) {
	if n.shape == broken {
		return
	}
	if w := asWorded(v); w != nil && n.shape == text {
		d.standIn(v, w, n, path)
		return
	}
	if n.shape != mapping && n.shape != null {
		d.fail(n, path, "want a mapping of options, got %s", n.show())
		return
	}
	before := len(d.errs)
	fields := fieldsOf(v.Type())
	lent := d.lent(fields, n)
	known := names(fields)
	for _, l := range lent {
		known = append(known, names(l.fields)...)
	}
	meant := map[string]bool{} // keys that a misspelt one stands for
	for i, k := range n.keys {
		if slices.Contains(known, k.name) {
			continue
		}
		at := &node{pos: k.pos, file: n.items[i].file}
		if owner, l := owner(lent, k.name); owner != nil {
			switch {
			case n.items[i].shape == null:
			case d.foreign:
				d.ignored = append(d.ignored, d.style.key(path, k.name))
			default:
				d.fail(at, path, "unknown key %q for %s %s; %s has it", k.name, l.table.Kind(), l.name, strings.Join(owner, ", "))
			}
			continue
		}
		d.fail(at, path, "%s", Unknown("key", k.name, known))
		meant[registry.Nearest(k.name, known)] = true
	}
	for i := range fields {
		f := &fields[i]
		fv := v.FieldByIndex(f.index)
		e := n.get(f.name)
		switch {
		case f.lends:
			d.borrow(fv, n, path, f, given, meant)
		case e != nil:
			d.value(fv, e, d.style.key(path, f.name), f)
		case f.required && given && meant[f.name]:
		case f.required && given:
			d.fail(n, path, "missing key %q", f.name)
		case f.preset != "" && fv.IsZero():
			p := &node{}
			p.shape, p.text, p.hint = resolve(f.preset)
			d.preset(fv, p, d.style.key(path, f.name), f)
		case fv.Kind() == reflect.Struct && f.typ != componentType && asDecoder(fv) == nil:
			d.structure(fv, &node{shape: mapping}, d.style.key(path, f.name), false)
		}
	}
	if given {
		d.validate(v, n, path, d.errs[before:])
	}
}

// standIn fills a struct for which a word stands: its options have their defaults.
func (d *decoder) standIn(v reflect.Value, w registry.Worded, n *node, path string) {
	if !slices.Contains(w.Words(), n.text) {
		d.fail(n, path, "want a mapping of options, or %s; got %s", choices(w.Words()), n.show())
		return
	}
	w.SetWord(n.text)
	d.structure(v, &node{shape: mapping, pos: n.pos, file: n.file}, path, false)
}

// validate lets a struct check itself. Its faults get the places of their keys.
// What it says of keys that are at fault already, or of the whole struct where
// any is, is not news.
func (d *decoder) validate(v reflect.Value, n *node, path string, found Errors) {
	c, ok := v.Addr().Interface().(registry.Validator)
	if !ok {
		return
	}
	for _, f := range fieldErrors(c.Validate()) {
		at, full := n.nearest(d.style, path, f.Key)
		if f.Key == "" && len(found) > 0 || slices.ContainsFunc(found, func(e Error) bool { return e.Path == full }) {
			continue
		}
		if f.At != "" {
			at, _ = n.nearest(d.style, path, f.At)
		}
		d.fail(at, full, "%s", n.conceal(f.Message))
	}
}

// nearest is the node at a dotted path below n, or the nearest above it, and
// the whole path. A value that is found is shown where its scalar stands.
func (n *node) nearest(style pathStyle, path, below string) (*node, string) {
	st, err := steps(below)
	if err != nil {
		return n, path
	}
	at := n
	for _, s := range st {
		var next *node
		if s.index < 0 {
			path = style.key(path, s.key)
			next = at.get(s.key)
		} else {
			path = style.index(path, s.index)
			if at.shape == list && s.index < len(at.items) {
				next = at.items[s.index]
			}
		}
		if next == nil {
			return at, path
		}
		at = next
	}
	return at, path
}

// preset fills in a default of the tags: a component whose table is not at
// hand stays empty.
func (d *decoder) preset(v reflect.Value, n *node, path string, f *field) {
	if f.kind != "" && d.byKind(f.kind) == nil && f.typ.Kind() != reflect.String {
		return
	}
	d.value(v, n, path, f)
}

func find(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func asWorded(v reflect.Value) registry.Worded {
	if !v.CanAddr() {
		return nil
	}
	w, _ := v.Addr().Interface().(registry.Worded)
	return w
}

func asDecoder(v reflect.Value) registry.Decoder {
	if !v.CanAddr() {
		return nil
	}
	dec, _ := v.Addr().Interface().(registry.Decoder)
	return dec
}

// value sets v, a field or an element of one, from n.
func (d *decoder) value(v reflect.Value, n *node, path string, f *field) {
	if n.shape == broken {
		return
	}
	if f.secret && (n.raw == "" || !soleVariable(n.raw)) {
		d.fail(n, path, "a secret cannot be given as a literal; want ${VARIABLE}")
		return
	}
	if f.secret && n.text == "" && (n.shape == null || n.shape == text) {
		if !strings.HasSuffix(n.raw, ":}") { // else a server whose token got lost would have none
			d.fail(n, path, "%s is empty; where it may be, write %s:}", n.raw, strings.TrimSuffix(n.raw, "}"))
		}
		return
	}
	if dec := asDecoder(v); dec != nil {
		d.custom(dec, n, path)
		return
	}
	t := v.Type()
	if t == componentType {
		if c, ok := d.component(n, d.byKind(f.kind), f.kind, path); ok {
			v.Set(reflect.ValueOf(c))
		}
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		if n.shape == null {
			v.SetZero()
			return
		}
		p := reflect.New(t.Elem())
		if !v.IsNil() {
			p.Elem().Set(v.Elem())
		}
		d.value(p.Elem(), n, path, f)
		v.Set(p)
	case reflect.Interface:
		d.dynamic(v, n, path, f)
	case reflect.Struct:
		d.structure(v, n, path, true)
	case reflect.Slice:
		d.slice(v, n, path, f)
	case reflect.Array:
		d.array(v, n, path, f)
	case reflect.Map:
		d.dictionary(v, n, path, f)
	default:
		d.scalar(v, n, path, f)
	}
}

// custom hands a value to a type that reads itself.
func (d *decoder) custom(dec registry.Decoder, n *node, path string) {
	x, err := n.value()
	if err == nil {
		err = dec.DecodeValue(x)
	}
	if err != nil {
		d.fail(n, path, "%s", n.conceal(err.Error()))
	}
}

// dynamic sets a field of an interface type: a nested component, or anything.
func (d *decoder) dynamic(v reflect.Value, n *node, path string, f *field) {
	if v.NumMethod() == 0 {
		x, err := n.value()
		if err != nil {
			d.fail(n, path, "%s", err)
			return
		}
		if x == nil {
			v.SetZero()
		} else {
			v.Set(reflect.ValueOf(x))
		}
		return
	}
	table := d.byType(v.Type())
	if table == nil && f.kind == "" {
		d.fail(n, path, "nothing is known here that could stand for a %s", v.Type())
		return
	}
	if n.shape == null {
		v.SetZero()
		return
	}
	if table == nil {
		d.fail(n, path, "no %s is known here", f.kind)
		return
	}
	if c, ok := d.component(n, table, table.Kind(), path); ok {
		v.Set(reflect.ValueOf(c.Value))
	}
}

func (d *decoder) slice(v reflect.Value, n *node, path string, f *field) {
	if n.shape == null {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		return
	}
	elem := v.Type().Elem()
	if n.shape != list {
		if elem != componentType && (elem.Kind() != reflect.Interface || elem.NumMethod() == 0) {
			d.fail(n, path, "want a list, got %s", n.show())
			return
		}
		out := reflect.MakeSlice(v.Type(), 1, 1) // one component may stand for a list of one
		d.value(out.Index(0), n, path, f)
		v.Set(out)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, e := range n.items {
		d.value(out.Index(i), e, d.style.index(path, i), f)
	}
	v.Set(out)
}

func (d *decoder) array(v reflect.Value, n *node, path string, f *field) {
	if n.shape != list || len(n.items) != v.Len() {
		d.fail(n, path, "want a list of %d, got %s", v.Len(), n.show())
		return
	}
	for i, e := range n.items {
		d.value(v.Index(i), e, d.style.index(path, i), f)
	}
}

func (d *decoder) dictionary(v reflect.Value, n *node, path string, f *field) {
	if n.shape != mapping && n.shape != null {
		d.fail(n, path, "want a mapping, got %s", n.show())
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.items))
	for i, k := range n.keys {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(e, n.items[i], d.style.key(path, k.name), f)
		out.SetMapIndex(reflect.ValueOf(k.name).Convert(v.Type().Key()), e)
	}
	v.Set(out)
}
