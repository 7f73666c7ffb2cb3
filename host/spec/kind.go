package spec

import "strings"

// KindOf is what a file says under kind; "": nothing that can be read.
func KindOf(file string) string {
	data, err := readFile(file)
	if err != nil {
		return ""
	}
	root, _ := growYAML(file, data, nil)
	if root == nil || root.shape != mapping {
		return ""
	}
	kind := root.get("kind")
	if kind == nil {
		return ""
	}
	return kind.text
}

// Page is all that there is to say of the keys of the guide's files, section by
// section.
func (g Guide) Page() string {
	var b strings.Builder
	options(&b, fresh(g.Root), &generator{tables: g.Tables})
	g.keys(func(path string, section bool) {
		if section {
			b.WriteString(explainKey(path, fresh(g.Root), g.Tables) + "\n")
		}
	})
	return b.String()
}
