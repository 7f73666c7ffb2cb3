package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// SchemaOptions is the table of the options that a JSON Schema (draft-07)
// describes, as explain prints it: those that are required first, else in the
// schema's order; those of mappings by their dotted names. A schema that
// describes none, or cannot be read, gives "".
func SchemaOptions(schema []byte) string {
	root, err := readSchema(schema)
	if err != nil {
		return ""
	}
	n, errs := growJSON(schema)
	if len(errs) > 0 || len(root.Properties) == 0 {
		return ""
	}
	rows := [][]string{{"option", "type", "default", "legal", "meaning"}}
	return columns(append(rows, root.rows("", n, 0)...))
}

// rows are those of a mapping's options; n is the schema as it is written, nil:
// not known.
func (s *jsonSchema) rows(path string, n *node, depth int) [][]string {
	var out [][]string
	for _, name := range s.order(n) {
		p := s.Properties[name]
		if p == nil { // null: anything
			p = &jsonSchema{}
		}
		d := "-"
		switch {
		case slices.Contains(s.Required, name):
			d = "required"
		case p.Default != nil:
			d = shown(p.Default)
		}
		meaning, _ := p.Description.(string)
		at := dotted.key(path, name)
		out = append(out, []string{at, p.typeWord(), d, cmp.Or(p.limits(), "-"), meaning})
		if depth < maxDepth {
			out = append(out, p.rows(at, n.below("properties").below(name), depth+1)...)
		}
	}
	return out
}

// order is that of the options: what is required, then what is not.
func (s *jsonSchema) order(n *node) []string {
	var written []string
	if n = n.below("properties"); n != nil {
		for _, k := range n.keys {
			written = append(written, k.name)
		}
	} else {
		written = slices.Sorted(maps.Keys(s.Properties))
	}
	slices.SortStableFunc(written, func(a, b string) int {
		return cmp.Compare(s.rank(a), s.rank(b))
	})
	return written
}

// below is the value under a key; nil if there is none, or no n.
func (n *node) below(name string) *node {
	if n == nil {
		return nil
	}
	return n.get(name)
}

func (s *jsonSchema) rank(option string) int {
	if slices.Contains(s.Required, option) {
		return 0
	}
	return 1
}

// typeWord says in a word what a value is in YAML. A definition goes by its
// name.
func (s *jsonSchema) typeWord() string {
	if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
		return name
	}
	format, _ := s.Format.(string)
	var words []string
	put := func(w string) {
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	for _, t := range s.types() {
		switch {
		case t == "null":
		case t == "string" && format == "path":
			put("path")
		case t == "array" && s.Items != nil && s.Items.typeWord() != "any":
			if of := s.Items.typeWord(); strings.Contains(of, " or ") {
				put("list of (" + of + ")")
			} else {
				put("list of " + of)
			}
		default:
			put(cmp.Or(map[string]string{"array": "list", "object": "mapping", "boolean": "true/false"}[t], t))
		}
	}
	if len(words) == 0 {
		for _, branch := range [][]*jsonSchema{s.AllOf, s.AnyOf, s.OneOf} {
			for _, b := range branch {
				if w := b.typeWord(); !slices.Contains(words, "list of "+w) { // one stands for a list of it
					put(w)
				}
			}
		}
	}
	if len(words) == 0 && s.Enum != nil {
		return "string"
	}
	return cmp.Or(strings.Join(words, " or "), "any")
}

// limits are the legal values in words.
func (s *jsonSchema) limits() string {
	var parts []string
	if s.Secret {
		parts = append(parts, "${VARIABLE}")
	}
	if s.Enum != nil {
		var words []string
		for _, e := range s.Enum {
			words = append(words, fmt.Sprint(e))
		}
		parts = append(parts, choices(words))
	}
	for _, b := range []struct {
		op    string
		limit *float64
	}{{">", s.ExclusiveMinimum}, {">=", s.Minimum}, {"<", s.ExclusiveMaximum}, {"<=", s.Maximum}} {
		if b.limit != nil {
			parts = append(parts, bound{b.op, *b.limit}.String())
		}
	}
	if lo, hi := s.MinItems, s.MaxItems; lo != nil && hi != nil && *lo == *hi {
		parts = append(parts, fmt.Sprintf("%d entries", *lo))
	}
	if s.Pattern != "" {
		parts = append(parts, "matches "+s.Pattern)
	}
	if len(parts) == 0 && s.Items != nil && slices.Contains(s.types(), "array") {
		return s.Items.limits()
	}
	return strings.Join(parts, " and ")
}

// SchemaExample is a value that a schema of options accepts, with those alone
// that are required, as YAML on one line; "" if none are. The keyword examples
// says what is better than a guess by type.
func SchemaExample(schema []byte) string {
	root, err := readSchema(schema)
	if err != nil {
		return ""
	}
	n, _ := growJSON(schema) // nil if it is broken
	var options []string
	for _, name := range root.order(n) {
		if p := root.Properties[name]; p != nil && slices.Contains(root.Required, name) {
			options = append(options, flow(name)+": "+p.sample())
		}
	}
	if options == nil {
		return ""
	}
	return "{" + strings.Join(options, ", ") + "}"
}

// sample is a legal value, for simple schemas.
func (s *jsonSchema) sample() string {
	given, _ := s.Examples.([]any)
	for _, v := range append(given, s.Default) {
		if v != nil {
			return flow(v)
		}
	}
	if len(s.Enum) > 0 {
		return flow(s.Enum[0])
	}
	switch t := s.types(); {
	case s.Secret:
		return "${SECRET}"
	case slices.Contains(t, "string"):
		if s.Format == any("path") {
			return "file"
		}
		return "name"
	case slices.Contains(t, "array"):
		if s.Items == nil {
			return "[]"
		}
		return "[" + s.Items.sample() + "]"
	case slices.Contains(t, "object"):
		return "{}"
	case slices.Contains(t, "boolean"):
		return "true"
	}
	for _, v := range []float64{1, 0, 0.5, 32} {
		c := &checker{root: s, steps: new(int)}
		c.number(s, &node{shape: float, text: fmt.Sprint(v)}, "")
		if len(c.errs) == 0 {
			return fmt.Sprint(v)
		}
	}
	return "1"
}

// bareWord is what YAML needs no quotes for, if it is a string at all.
var bareWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./:-]*[A-Za-z0-9_/]$`)

// flow is a value as YAML on one line: words bare, all else as JSON.
func flow(v any) string {
	if s, ok := v.(string); ok && bareWord.MatchString(s) {
		if shape, _, _ := resolve(s); shape == text { // not true, 1 or nothing
			return s
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic("spec: a value of a schema that has no JSON form")
	}
	return string(data)
}
