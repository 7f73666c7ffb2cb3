package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// component reads one key with a mapping of options, a bare name, or a name
// with nothing.
func (d *decoder) component(n *node, table registry.Any, kind, path string) (registry.Component, bool) {
	none := registry.Component{}
	if table == nil {
		d.fail(n, path, "no %s is known here", kind)
		return none, false
	}
	name, options, at := "", &node{shape: null, pos: n.pos, file: n.file}, n
	switch {
	case n.shape == broken:
		return none, false
	case n.shape == text:
		name = n.text
	case n.shape == mapping && len(n.keys) == 1:
		name, options = n.keys[0].name, n.items[0]
		at = &node{pos: n.keys[0].pos, file: n.file}
	case n.shape == mapping && len(n.keys) > 1:
		message := "want one %s, got the keys %s"
		if n.items[0].shape == null {
			message += "; options are indented below the name"
		}
		var keys []string
		for _, k := range n.keys {
			keys = append(keys, k.name)
		}
		d.fail(n, path, message, kind, strings.Join(keys, ", "))
		return none, false
	default:
		d.fail(n, path, "want a %s (a name, or a name with options), got %s", kind, n.show())
		return none, false
	}
	v, _, ok := table.Fresh(name)
	if !ok {
		shown := name
		if n.shape == text {
			shown = n.shown()
		}
		d.fail(at, path, "%s", Unknown(kind, shown, table.Names()))
		return none, false
	}
	full := d.style.key(path, name)
	if d.names != nil {
		d.names[path] = name
	}
	before := len(d.errs)
	if dec := asDecoder(v); dec != nil {
		d.custom(dec, options, full)
	} else {
		d.structure(v, options, full, true)
	}
	if len(d.errs) > before {
		return none, false
	}
	return registry.Component{Kind: kind, Name: name, Path: full, Value: table.Value(name, v)}, true
}

// shown is a word as errors may print it inside quotes of their own.
func (n *node) shown() string {
	if n.raw != "" {
		return n.raw
	}
	return n.text
}

// conceal puts variables back into a message that quotes their values.
func (n *node) conceal(message string) string {
	vars := map[string]*node{}
	n.variables("", vars)
	for _, path := range slices.Sorted(maps.Keys(vars)) {
		if v := vars[path]; len(v.text) >= 4 { // shorter ones would hit other words
			message = strings.ReplaceAll(message, v.text, v.raw)
		}
	}
	return message
}
