package spec

import (
	"reflect"
	"slices"
)

// Extension is what a file has besides what is written in it. Its keys count as
// written where it was asked for: they are Given, and faults of theirs stand there.
type Extension struct {
	// At is the dotted path that asks for it: preset. It is taken out of the file, so
	// that what is resolved does not ask again.
	At string
	// YAML is a mapping of sections. A key of it, at any depth, that the file has itself
	// is left out, null too. What is no mapping in both is the file's, lists for
	// instance, and so is a component that the file names otherwise: of one that it names
	// as well, options that it lacks are added.
	YAML string
	// Without are dotted paths of YAML that are left out.
	Without []string
}

// extend adds what an extension has and the file lacks. dst is what the file is read
// into, which tells components from sections.
func (n *node) extend(file string, more Extension, d *Document, dst reflect.Type) {
	from, errs := growYAML(file, []byte(more.YAML), nil)
	if len(errs) > 0 || from.shape != mapping {
		panic("spec: an extension that is no mapping")
	}
	from.move(d.position(more.At), d.root.at(more.At))
	n.drop(more.At)
	for _, section := range more.Without {
		from.drop(section)
	}
	alone := &decoder{file: file, tables: d.tables, names: map[string]string{}} // its faults are those of a part
	alone.structure(reflect.New(dst).Elem(), from, "", true)
	n.lay(from, "", alone.names)
}

// lay lays a mapping under another. names are the lower one's components by path.
func (n *node) lay(under *node, path string, names map[string]string) {
	for i, k := range under.keys {
		own, at := n.get(k.name), dotted.key(path, k.name)
		switch {
		case own == nil:
			n.add(k, under.items[i])
		case own.shape != mapping || under.items[i].shape != mapping:
		case names[at] != "" && (len(own.keys) != 1 || own.keys[0].name != names[at]):
		default:
			own.lay(under.items[i], at, names)
		}
	}
}

// move makes a tree say that it stands where another does.
func (n *node) move(pos Position, as *node) {
	n.pos = pos
	if as != nil {
		n.file = as.file
	}
	n.keys = slices.Clone(n.keys)
	for i := range n.keys {
		n.keys[i].pos = pos
	}
	for _, e := range n.items {
		e.move(pos, as)
	}
}
