package spec

import (
	"encoding/json"
	"slices"
	"strings"
)

// RawText is a text within a part of a file, its variables as they are written.
type RawText struct {
	Path string // dotted, below the part
	Text string
}

// Raw is a part of a file as it is written: no variable is looked up, no default is filled in.
type Raw struct {
	Texts []RawText // in the order of the file
	JSON  []byte    // the part, keys in order: the same for the same values, however they are laid out
}

// ReadRaw reads the part of a YAML text at a dotted path; its JSON is null where there is
// none. name stands for the file in errors.
func ReadRaw(name string, data []byte, path string) (Raw, error) {
	root, errs := growYAML(name, data, nil)
	if err := errs.orNil(); err != nil {
		return Raw{}, err
	}
	var r Raw
	part := root.at(path)
	if part != nil {
		var walk func(at string, n *node)
		walk = func(at string, n *node) {
			if n.shape == text {
				r.Texts = append(r.Texts, RawText{Path: strings.TrimPrefix(at, "."), Text: n.text})
			}
			n.each(at, dotted, walk)
		}
		walk("", part)
	}
	var err error
	r.JSON, err = json.Marshal(part.written())
	return r, err
}

// written are the values of a tree, for json.Marshal: a number is an object, so that it is
// none of the texts.
func (n *node) written() any {
	switch {
	case n == nil || n.shape == null:
		return nil
	case n.shape == mapping:
		m := map[string]any{}
		for i, k := range n.keys {
			m[k.name] = n.items[i].written()
		}
		return m
	case n.shape == list:
		l := []any{}
		for _, x := range n.items {
			l = append(l, x.written())
		}
		return l
	case n.shape == text:
		return n.text
	}
	return map[string]string{"": n.text}
}

// Variables are the names of the variables in a text, each once, in order.
func Variables(text string) []string {
	var names []string
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(m[0], "$$") && !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}
