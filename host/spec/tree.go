package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Limits of a file, aliases expanded: generous for a spec, cheap for a bomb.
const (
	maxBytes = 4 << 20
	maxNodes = 100_000
	maxDepth = 100
	maxPaths = 64 << 20 // bytes of all values' paths together
)

// grower turns a YAML document into a tree.
type grower struct {
	file   string // for Error.File
	lookup func(string) (string, bool)
	open   map[*yaml.Node]bool // anchors being expanded
	nodes  int
	paths  int
	full   bool
	errs   Errors
}

// growYAML parses one document. lookup finds variables; nil leaves ${VAR}
// alone.
func growYAML(file string, data []byte, lookup func(string) (string, bool)) (*node, Errors) {
	fail := func(pos Position, format string, args ...any) (*node, Errors) {
		return nil, Errors{{File: file, Pos: pos, Message: fmt.Sprintf(format, args...)}}
	}
	if len(data) > maxBytes {
		return fail(Position{}, "%d bytes; a file of this kind has at most %d", len(data), maxBytes)
	}
	doc, more, err := parseYAML(hideVariables(data))
	if err != nil {
		pos, message := syntaxError(err)
		return fail(pos, "%s", message)
	}
	if more != nil {
		return fail(Position{more.Line, more.Column}, "a second document begins here; a file holds one")
	}
	if doc == nil || len(doc.Content) == 0 {
		return fail(Position{1, 1}, "the file is empty")
	}
	g := &grower{file: file, lookup: lookup, open: map[*yaml.Node]bool{}}
	n := g.grow(doc.Content[0], "", 0)
	return n, g.errs
}

// parseYAML reads the first document and the beginning of a second one. The
// parser's panics are errors.
func parseYAML(data []byte) (doc, more *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: cannot be parsed: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	doc = new(yaml.Node)
	if err := dec.Decode(doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil, nil
		}
		return nil, nil, err
	}
	more = new(yaml.Node)
	switch err := dec.Decode(more); {
	case errors.Is(err, io.EOF):
		return doc, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return doc, more, nil
}

var yamlPlace = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

func syntaxError(err error) (Position, string) {
	message := showVariables(err.Error())
	m := yamlPlace.FindStringSubmatch(message)
	if m == nil {
		return Position{}, message
	}
	line, _ := strconv.Atoi(m[1]) // empty: 0, unknown
	pos := Position{}
	if line > 0 {
		pos = Position{line, 1}
	}
	if strings.Contains(m[2], "cannot start any token") {
		m[2] += " (a tab? YAML indents with spaces)"
	}
	return pos, "not YAML: " + m[2]
}

func (g *grower) fail(n *yaml.Node, path, format string, args ...any) *node {
	pos := Position{n.Line, n.Column}
	g.errs = append(g.errs, Error{File: g.file, Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)})
	return &node{shape: broken, pos: pos}
}

func (g *grower) grow(y *yaml.Node, path string, depth int) *node {
	g.nodes++
	g.paths += len(path)
	if g.full {
		return &node{shape: broken}
	}
	if g.nodes > maxNodes || g.paths > maxPaths || depth > maxDepth {
		g.full = true // one report, then silence
		if depth > maxDepth {
			return g.fail(y, path, "nested deeper than %d", maxDepth)
		}
		return g.fail(y, path, "more than %d values (or keys far too long), aliases expanded", maxNodes)
	}
	switch y.Kind {
	case yaml.AliasNode:
		if g.open[y.Alias] {
			return g.fail(y, path, "alias *%s contains itself", y.Value)
		}
		g.open[y.Alias] = true
		defer delete(g.open, y.Alias)
		n := g.grow(y.Alias, path, depth+1)
		n.pos = Position{y.Line, y.Column}
		return n
	case yaml.ScalarNode:
		return g.scalar(y, path)
	case yaml.SequenceNode:
		if tag := y.ShortTag(); tag != "!!seq" {
			return g.fail(y, path, "tag %s is not supported", tag)
		}
		n := &node{shape: list, pos: Position{y.Line, y.Column}}
		for i, e := range y.Content {
			n.items = append(n.items, g.grow(e, dotted.index(path, i), depth+1))
		}
		return n
	case yaml.MappingNode:
		if tag := y.ShortTag(); tag != "!!map" {
			return g.fail(y, path, "tag %s is not supported", tag)
		}
		return g.mapping(y, path, depth)
	}
	return g.fail(y, path, "unexpected YAML")
}

func (g *grower) mapping(y *yaml.Node, path string, depth int) *node {
	n := &node{shape: mapping, pos: Position{y.Line, y.Column}}
	merged := &node{shape: mapping}
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			g.fail(k, path, "a key is a plain word")
			continue
		}
		if k.ShortTag() == "!!merge" && k.Style == 0 {
			g.merge(v, path, depth, merged)
			continue
		}
		name := showVariables(k.Value)
		if j := n.index(name); j >= 0 {
			g.fail(k, path, "key %q appears twice; first on line %d", name, n.keys[j].pos.Line)
			continue
		}
		at := Position{k.Line, k.Column}
		e := g.grow(v, dotted.key(path, name), depth+1)
		if e.shape == mapping || e.shape == list || e.shape == null {
			e.pos = at
		}
		n.add(key{name, at}, e)
	}
	for i, k := range merged.keys {
		if n.index(k.name) < 0 {
			n.add(k, merged.items[i])
		}
	}
	return n
}

// merge collects what << brings in: earlier mappings win.
func (g *grower) merge(y *yaml.Node, path string, depth int, into *node) {
	sources := []*yaml.Node{y}
	if y.Kind == yaml.SequenceNode {
		sources = y.Content
	}
	for _, s := range sources {
		from := g.grow(s, path, depth+1)
		if from.shape == broken {
			continue
		}
		if from.shape != mapping {
			g.fail(s, path, "<< merges mappings")
			continue
		}
		for i, k := range from.keys {
			if into.index(k.name) < 0 {
				into.add(k, from.items[i])
			}
		}
	}
}

func (g *grower) scalar(y *yaml.Node, path string) *node {
	written := showVariables(y.Value)
	n := &node{pos: Position{y.Line, y.Column}, quote: y.Style&^yaml.TaggedStyle != 0}
	value := written
	if g.lookup != nil {
		var changed bool
		var fault string
		if value, changed, fault = expand(written, g.lookup); fault != "" {
			return g.fail(y, path, "%s", fault)
		}
		if changed {
			n.raw = written
		}
	}
	tag := ""
	if y.Style&yaml.TaggedStyle != 0 {
		tag = y.ShortTag()
	}
	switch {
	case tag == "!!str" || tag == "" && n.quote:
		n.shape, n.text, n.quote = text, value, true
		return n
	case tag == "", tag == "!!int", tag == "!!float", tag == "!!bool", tag == "!!null":
		n.shape, n.text, n.hint = resolve(value)
		n.quote = false
		return n
	}
	return g.fail(y, path, "tag %s is not supported", tag)
}
