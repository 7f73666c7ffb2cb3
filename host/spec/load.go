package spec

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Options say what a file is read against.
type Options struct {
	// Tables hold the components by kind: layer, loss, optimizer, …; and names
	// to check: metric, dataset. Without a table its names are not checked
	// (strings) or not accepted (components).
	Tables []registry.Any
	// Set overrides values: a dotted path, =, and YAML: train.epochs=3,
	// vae.encoder[0].conv2d.filters=8, data.train.range=[0,100].
	Set []string
	// Drop are the dotted paths of keys that are taken as absent, before Set.
	Drop []string
	// LookupEnv finds ${VAR}; nil: os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Literal leaves ${VAR} alone: such a file has no variables.
	Literal bool
	// Foreign ignores options of another component than the one that lends
	// them, as files have them that were written when all were accepted.
	Foreign bool
	// Extend is asked once the file is decoded, before the checks, for more of it:
	// see Extension. found are the faults so far. nil: nothing is added.
	Extend func(d *Document, found Errors) (Extension, Errors)
	// Checks run once the file is decoded, in order.
	Checks []Check
}

// Check finds faults between the keys of a file. Document.Errorf makes errors
// with positions.
type Check struct {
	// Sound are the sections that must be sound for the check to make sense. It
	// is left out where decoding, or a check without Sound, found a fault there.
	Sound []string
	// Find gets what was found before it.
	Find func(d *Document, found Errors) Errors
}

// Load reads a file into dst; see Parse.
func Load(file string, dst any, o Options) (*Document, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, data, dst, o)
}

// readFile reads a file no larger than a spec may be.
func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return data, nil
}

// Parse reads YAML into dst, a non-nil pointer to a struct whose tags follow
// package registry, and default:"…", the value in YAML that an absent key
// stands for. name stands for the file in errors. All faults come back at once,
// as Errors by place; dst is then partly filled and must not be used.
func Parse(name string, data []byte, dst any, o Options) (*Document, error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		panic("spec: Parse wants a non-nil pointer to a struct")
	}
	lookup := o.LookupEnv
	if lookup == nil {
		lookup = os.LookupEnv
	}
	if o.Literal {
		lookup = nil
	}
	root, errs := growYAML(name, data, lookup)
	if root == nil {
		return nil, errs
	}
	for _, path := range o.Drop {
		root.drop(path)
	}
	for _, set := range o.Set {
		errs = append(errs, override(root, set, lookup)...)
	}
	doc := newDocument(name, root, o.Tables)
	d := &decoder{file: name, tables: o.Tables, names: doc.names, foreign: o.Foreign, errs: errs}
	d.structure(v.Elem(), root, "", true)
	if other := d.errs.otherKind(root); other != nil {
		return nil, other
	}
	if root.shape == mapping && o.Extend != nil {
		more, faults := o.Extend(doc, d.errs)
		if more.YAML != "" {
			root.extend(name, more, doc, v.Elem().Type())
			doc = newDocument(name, root, o.Tables)
			d = &decoder{file: name, tables: o.Tables, names: doc.names, foreign: o.Foreign, errs: errs}
			v.Elem().SetZero()
			d.structure(v.Elem(), root, "", true)
		}
		d.errs = append(d.errs, faults...)
	}
	if root.shape == mapping {
		d.errs = doc.check(o.Checks, d.errs)
	}
	if err := d.errs.orNil(); err != nil {
		return nil, err
	}
	doc.foreign = d.ignored
	doc.remember(v.Elem())
	return doc, nil
}

// otherKind is the one fault of a file that declares something else, such as a
// Grid where an Experiment is wanted: its keys are not faults one by one. A
// misspelt kind is a fault among others.
func (e Errors) otherKind(root *node) Errors {
	if root.shape != mapping || root.get("kind") == nil {
		return nil
	}
	for _, f := range e {
		misspelt := strings.Contains(f.Message, "did you mean") || strings.Count(strings.ToLower(f.Message), strings.ToLower(root.get("kind").text)) > 1
		if f.Path == "kind" && !misspelt {
			return Errors{f}
		}
	}
	return nil
}

// check runs the checks that have sense and adds to what was found.
func (d *Document) check(checks []Check, found Errors) Errors {
	for _, c := range checks {
		if c.Sound == nil {
			found = append(found, c.Find(d, found)...)
		}
	}
	before := found
	for _, c := range checks {
		if c.Sound != nil && !before.Touch(c.Sound...) {
			found = append(found, c.Find(d, before)...)
		}
	}
	return found
}

// at is the node at a dotted path, or nil.
func (n *node) at(path string) *node {
	st, err := steps(path)
	if err != nil {
		return nil
	}
	for _, s := range st {
		switch {
		case n == nil:
			return nil
		case s.index < 0:
			n = n.get(s.key)
		case n.shape == list && s.index < len(n.items):
			n = n.items[s.index]
		default:
			return nil
		}
	}
	return n
}
