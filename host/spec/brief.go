package spec

import (
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Brief is a component as a person would write it, on one line: without the options
// that have the defaults of its table, {dense: {units: 4}} or flatten. T is the
// table's interface.
func Brief[T any](c T, tables ...registry.Any) string {
	w := &writer{tables: tables, names: map[string]string{}, vars: map[string]*node{}, brief: true}
	return inline(w.nested(reflect.ValueOf(&c).Elem(), ""))
}

// Text is a text as YAML has it within a list or mapping on one line: quoted where
// it would be read as something else.
func Text(s string) string { return inline(stringNode(s)) }

// inline writes a tree on one line.
func inline(y *yaml.Node) string {
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle, Content: []*yaml.Node{y}}
	line := strings.Join(strings.Split(strings.TrimSpace(string(render(list))), "\n    "), " ")
	return line[1 : len(line)-1]
}

// usual reports whether an option has its default: it goes without saying.
func usual(v, def reflect.Value, f *field) bool {
	return !f.required && def.IsValid() && reflect.DeepEqual(v.Interface(), def.Interface())
}
