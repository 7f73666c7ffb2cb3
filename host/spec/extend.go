package spec

import "slices"

// Extension is what a file has besides what is written in it. Its keys count as
// written where it was asked for: they are Given, and faults of theirs stand there.
type Extension struct {
	// At is the dotted path that asks for it: preset. It is taken out of the file, so
	// that what is resolved does not ask again.
	At string
	// YAML is a mapping of sections. A key of it, or of one of its sections, that the
	// file has itself is left out, null too. A section that is no mapping in both is
	// the file's.
	YAML string
	// Without are sections of YAML that are left out.
	Without []string
}

// extend adds what an extension has and the file lacks.
func (n *node) extend(file string, more Extension, d *Document) {
	from, errs := growYAML(file, []byte(more.YAML), nil)
	if len(errs) > 0 || from.shape != mapping {
		panic("spec: an extension that is no mapping")
	}
	from.move(d.position(more.At), d.root.at(more.At))
	n.drop(more.At)
	for i, k := range from.keys {
		own := n.get(k.name)
		switch {
		case slices.Contains(more.Without, k.name):
		case own == nil:
			n.add(k, from.items[i])
		case own.shape == mapping && from.items[i].shape == mapping:
			for j, inner := range from.items[i].keys {
				if own.index(inner.name) < 0 {
					own.add(inner, from.items[i].items[j])
				}
			}
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
