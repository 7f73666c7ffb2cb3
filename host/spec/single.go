package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/vaeguard/vaeguard/host/registry"
)

// ParseComponent makes one component from its name and options, as on a
// command line: eps=0.1. Errors are Errors.
func ParseComponent(kind, name string, set []string, tables ...registry.Any) (registry.Component, error) {
	root := &node{shape: mapping}
	root.put(key{name: name}, &node{shape: mapping})
	var errs Errors
	for _, s := range set {
		errs = append(errs, override(root.get(name), s, os.LookupEnv)...)
	}
	d := &decoder{tables: tables, errs: errs}
	c, _ := d.component(root, d.byKind(kind), kind, "")
	if err := d.errs.orNil(); err != nil {
		return c, err
	}
	return c, nil
}

// ReadComponents reads a YAML file with a list of components of one kind, or
// with such a list under the kind's plural. Errors are Errors.
func ReadComponents(file, kind string, tables ...registry.Any) ([]registry.Component, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	root, errs := growYAML(file, data, os.LookupEnv)
	if root == nil {
		return nil, errs
	}
	if l := root.get(kind + "s"); l != nil {
		root = l
	}
	d := &decoder{file: file, tables: tables, errs: errs}
	if root.shape != list {
		d.fail(root, "", "want a list of %ss, got %s", kind, root.show())
	}
	var out []registry.Component
	for i, n := range root.items {
		if c, ok := d.component(n, d.byKind(kind), kind, fmt.Sprintf("%ss[%d]", kind, i)); ok {
			out = append(out, c)
		}
	}
	if err := d.errs.orNil(); err != nil {
		return nil, err
	}
	return out, nil
}

// Overrides are a mapping of dotted paths as Options.Set wants them, by name.
func Overrides(set map[string]any) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(set)) {
		v, err := json.Marshal(set[path])
		if err != nil {
			panic("spec: values of a file have a JSON form")
		}
		out = append(out, path+"="+string(v))
	}
	return out
}

// WriteComponent is a component as YAML, its name with all its options,
// defaults among them: the same text for the same component.
func WriteComponent(c registry.Component, tables ...registry.Any) []byte {
	w := &writer{tables: tables, names: map[string]string{}}
	return render(w.component(c, ""))
}
