package spec

import (
	"reflect"
	"slices"

	"github.com/vaeguard/vaeguard/host/registry"
)

// A component field with the tag yaml:"method,inline" is named by its key and
// lends its options to the struct around it: {method: vae, samples: 10}.

// loan is a component that lends its options.
type loan struct {
	table  registry.Any
	name   string // "": not known; then fields are those of all
	fields []field
}

// lent are the components that the lending fields of a struct name in n.
func (d *decoder) lent(fields []field, n *node) []loan {
	var out []loan
	for i := range fields {
		f := &fields[i]
		if !f.lends {
			continue
		}
		table := d.byKind(f.kind)
		if table == nil {
			continue
		}
		l := loan{table: table, name: f.preset}
		if e := n.get(f.name); e != nil {
			l.name = ""
			if e.shape == text {
				l.name = e.text
			}
		}
		v, _, ok := table.Fresh(l.name)
		if ok {
			l.fields = fieldsOf(v.Type())
		} else { // reported where the name is read
			l.name, l.fields = "", allFields(table)
		}
		out = append(out, l)
	}
	return out
}

// allFields are the options of all components of a table, each name once.
func allFields(table registry.Any) []field {
	var out []field
	for _, name := range table.Names() {
		v, _, _ := table.Fresh(name)
		for _, f := range fieldsOf(v.Type()) {
			if find(out, f.name) == nil {
				out = append(out, f)
			}
		}
	}
	return out
}

// owner are the components that have an option which the chosen one lacks, nil
// if there are none, with the loan of the chosen one.
func owner(lent []loan, key string) ([]string, loan) {
	for _, l := range lent {
		if have := having(l.table, key); have != nil {
			return have, l
		}
	}
	return nil, loan{}
}

// having are the components of a table that have an option.
func having(table registry.Any, key string) []string {
	var out []string
	for _, name := range table.Names() {
		v, _, _ := table.Fresh(name)
		if find(fieldsOf(v.Type()), key) != nil {
			out = append(out, name)
		}
	}
	return out
}

// borrow reads a lending field: its name, and its options from the mapping
// around it.
func (d *decoder) borrow(v reflect.Value, n *node, path string, f *field, given bool, meant map[string]bool) {
	table := d.byKind(f.kind)
	at := d.style.key(path, f.name)
	e := n.get(f.name)
	if table == nil {
		if e != nil {
			d.fail(e, at, "no %s is known here", f.kind)
		}
		return
	}
	name := f.preset
	if e != nil {
		if e.shape == broken {
			return
		}
		if e.shape != text {
			d.fail(e, at, "want %s, got %s", choices(table.Names()), e.show())
			return
		}
		name = e.text
	}
	c, _, ok := table.Fresh(name)
	if !ok {
		d.fail(e, at, "%s", Unknown(f.kind, e.shown(), table.Names()))
		return
	}
	before := len(d.errs)
	for _, o := range fieldsOf(c.Type()) {
		switch x := n.get(o.name); {
		case x != nil:
			d.value(c.FieldByIndex(o.index), x, d.style.key(path, o.name), &o)
		case o.required && given && !meant[o.name]:
			d.fail(n, path, "missing key %q, which %s %s needs", o.name, f.kind, name)
		}
	}
	if d.names != nil {
		d.names[at] = name
	}
	d.validate(c, n, path, d.errs[before:])
	if len(d.errs) > before {
		return
	}
	v.Set(reflect.ValueOf(registry.Component{Kind: f.kind, Name: name, Path: path, Value: table.Value(name, c)}))
}

// lend are the fields of a lending component as the struct around it shows
// them: those of all components of its table, with the values of the first that
// has each, and who has it.
func (g *generator) lend(f *field, each func(v reflect.Value, o field, of []string)) {
	table := g.table(func(a registry.Any) bool { return a.Kind() == f.kind })
	if table == nil {
		return
	}
	var seen []string
	for _, name := range table.Names() {
		v, _, _ := table.Fresh(name)
		for _, o := range fieldsOf(v.Type()) {
			if slices.Contains(seen, o.name) {
				continue
			}
			seen = append(seen, o.name)
			each(v.FieldByIndex(o.index), o, having(table, o.name))
		}
	}
}

// lentField is an option that a component lends to a struct of type t, with its
// default; nil if there is none of that name.
func (g *generator) lentField(t reflect.Type, name string) (v reflect.Value, f *field) {
	for _, lender := range fieldsOf(t) {
		if !lender.lends {
			continue
		}
		g.lend(&lender, func(x reflect.Value, o field, _ []string) {
			if o.name == name && f == nil {
				v, f = x, &o
			}
		})
	}
	return v, f
}
