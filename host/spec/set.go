package spec

import (
	"fmt"
	"slices"
	"strings"
)

// override applies one --set to a tree: PATH=YAML. Mappings on the way are
// made, a bare component name becomes a mapping, and an index may append one
// entry.
func override(root *node, set string, lookup func(string) (string, bool)) Errors {
	path, value, ok := strings.Cut(set, "=")
	file := "--set " + path
	fail := func(format string, args ...any) Errors {
		return Errors{{File: file, Message: fmt.Sprintf(format, args...)}}
	}
	if !ok {
		return fail("want PATH=VALUE, such as train.epochs=3")
	}
	st, err := steps(strings.TrimSpace(path))
	if err != nil {
		return fail("%s", err)
	}
	if strings.TrimSpace(value) == "" {
		value = "null"
	}
	v, errs := growYAML(file, []byte(value), lookup)
	for i := range errs {
		errs[i].Pos = Position{}
	}
	if v == nil || len(errs) > 0 {
		return errs
	}
	v.relocate(file)
	at := root
	for i, s := range st {
		last := i == len(st)-1
		if s.index >= 0 {
			if at.shape == null {
				*at = node{shape: list, file: file}
			}
			if at.shape != list {
				return fail("%s is not a list", place(st[:i]))
			}
			if s.index > len(at.items) {
				return fail("%s has %d entries", place(st[:i]), len(at.items))
			}
			if s.index == len(at.items) {
				at.items = append(at.items, &node{shape: null, file: file})
			}
			if last {
				at.items[s.index] = v
			}
			at = at.items[s.index]
			continue
		}
		switch {
		case at.shape == null:
			*at = node{shape: mapping, pos: at.pos, file: at.file}
		case at.shape == text && at.text == s.key: // flatten -> flatten: {}
			pos := at.pos
			*at = node{shape: mapping, pos: pos, file: at.file}
			at.add(key{s.key, pos}, &node{shape: null, pos: pos, file: at.file})
		case at.shape != mapping:
			return fail("%s is %s, not a mapping", place(st[:i]), at.show())
		}
		next := at.get(s.key)
		if next == nil {
			next = &node{shape: null, file: file}
			at.add(key{name: s.key}, next)
		}
		if last {
			at.put(key{name: s.key}, v)
		}
		at = next
	}
	return nil
}

// drop removes the key at a dotted path, if there is one.
func (n *node) drop(path string) {
	st, err := steps(path)
	if err != nil || st[len(st)-1].index >= 0 {
		return
	}
	of := n
	if above := parent(path); above != "" {
		of = n.at(above)
	}
	if of == nil || of.shape != mapping {
		return
	}
	if i := of.index(st[len(st)-1].key); i >= 0 {
		of.keys, of.items, of.find = slices.Delete(of.keys, i, i+1), slices.Delete(of.items, i, i+1), nil
	}
}

// relocate makes a tree say that it came from elsewhere.
func (n *node) relocate(file string) {
	n.file, n.pos = file, Position{}
	for i := range n.keys {
		n.keys[i].pos = Position{}
	}
	for _, e := range n.items {
		e.relocate(file)
	}
}

// place writes steps as a dotted path.
func place(st []step) string {
	path := ""
	for _, s := range st {
		if s.index < 0 {
			path = dotted.key(path, s.key)
		} else {
			path = dotted.index(path, s.index)
		}
	}
	if path == "" {
		return "the file"
	}
	return path
}
