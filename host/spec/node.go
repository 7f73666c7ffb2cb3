package spec

import (
	"fmt"
	"strconv"
)

// shape is what a node of a YAML or JSON tree is.
type shape int

const (
	null shape = iota
	boolean
	integer
	float
	text
	list
	mapping
	broken // already reported; its readers report nothing more
)

// node is a value of a file before it meets a field: one tree for YAML, JSON
// and --set, so that one decoder serves all.
type node struct {
	shape shape
	text  string // of a scalar, variables expanded
	raw   string // as written, where that held a ${VAR}; else empty
	quote bool   // written in quotes, or as a block
	hint  string // why a text that looks like a number is not one

	pos   Position // of a scalar; of the key for what is larger
	file  string   // where it stands, if not in the file itself: "--set …"
	keys  []key    // of a mapping
	items []*node  // values of a mapping or a list
	find  map[string]int
}

// key is one key of a mapping.
type key struct {
	name string
	pos  Position
}

// index is the place of a key, or -1.
func (n *node) index(name string) int {
	if len(n.keys) <= 16 {
		for i, k := range n.keys {
			if k.name == name {
				return i
			}
		}
		return -1
	}
	if n.find == nil {
		n.find = make(map[string]int, 2*len(n.keys))
		for i, k := range n.keys {
			n.find[k.name] = i
		}
	}
	if i, ok := n.find[name]; ok {
		return i
	}
	return -1
}

// get returns the value under a key, or nil.
func (n *node) get(name string) *node {
	if i := n.index(name); i >= 0 {
		return n.items[i]
	}
	return nil
}

// add appends a key that is not there yet.
func (n *node) add(k key, v *node) {
	if n.find != nil {
		n.find[k.name] = len(n.keys)
	}
	n.keys = append(n.keys, k)
	n.items = append(n.items, v)
}

// put sets the value under a key.
func (n *node) put(k key, v *node) {
	if i := n.index(k.name); i >= 0 {
		n.items[i] = v
		return
	}
	n.add(k, v)
}

// show is the value as errors quote it: never expanded.
func (n *node) show() string {
	written := n.text
	if n.raw != "" {
		written = n.raw
	}
	if r := []rune(written); len(r) > 60 {
		written = string(r[:57]) + "…"
	}
	switch n.shape {
	case null:
		return "nothing"
	case boolean, integer, float:
		return written
	case list:
		return "a list"
	case mapping:
		return "a mapping"
	}
	if n.quote {
		return "the string " + strconv.Quote(written)
	}
	return strconv.Quote(written)
}

// value is the tree as registry.Decoder wants it.
func (n *node) value() (any, error) {
	switch n.shape {
	case boolean:
		return n.text == "true", nil
	case integer:
		if i, err := strconv.Atoi(n.text); err == nil {
			return i, nil
		}
		return strconv.ParseFloat(n.text, 64)
	case float:
		return strconv.ParseFloat(n.text, 64)
	case text:
		if n.hint != "" {
			return nil, fmt.Errorf("%s: %s", n.show(), n.hint)
		}
		return n.text, nil
	case list:
		out := make([]any, len(n.items))
		for i, e := range n.items {
			v, err := e.value()
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	case mapping:
		out := make(map[string]any, len(n.items))
		for i, e := range n.items {
			v, err := e.value()
			if err != nil {
				return nil, err
			}
			out[n.keys[i].name] = v
		}
		return out, nil
	}
	return nil, nil
}

// variables collects the scalars below n that held a ${VAR}, by their paths.
func (n *node) variables(path string, into map[string]*node) {
	if n.raw != "" {
		into[path] = n
	}
	n.each(path, dotted, func(path string, e *node) { e.variables(path, into) })
}

// positions records where each value stands.
func (n *node) positions(path string, into map[string]Position) {
	if n.pos.Line > 0 {
		into[path] = n.pos
	}
	n.each(path, dotted, func(path string, e *node) { e.positions(path, into) })
}

// each visits the values of a mapping or list.
func (n *node) each(path string, style pathStyle, visit func(path string, e *node)) {
	for i, e := range n.items {
		if n.shape == mapping {
			visit(style.key(path, n.keys[i].name), e)
		} else {
			visit(style.index(path, i), e)
		}
	}
}
