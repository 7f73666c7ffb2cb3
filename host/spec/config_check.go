package spec

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// CheckConfig judges the mapping at a dotted path of the file, such as
// classifier.config, against a plugin's JSON Schema (draft-07). What it finds
// has positions. An empty schema accepts everything.
func (d *Document) CheckConfig(schema []byte, path string) Errors {
	if len(schema) == 0 || d == nil {
		return nil
	}
	root, err := readSchema(schema)
	if err != nil {
		return Errors{d.Errorf(path, "the plugin's schema: %s", err)}
	}
	n := d.root.at(path)
	if n == nil || n.shape == null {
		n = &node{shape: mapping, pos: d.position(path)}
	}
	c := &checker{root: root, file: d.file, steps: new(int)}
	c.check(root, n, path, 0)
	return c.errs.sorted()
}

// CheckSchema is an error if text is no JSON Schema (draft-07) that CheckConfig
// can read.
func CheckSchema(text []byte) error {
	_, err := readSchema(text)
	return err
}

// checker collects what a value violates.
type checker struct {
	root *jsonSchema
	file string
	errs Errors

	steps *int // taken so far, over all branches
}

// maxSteps ends a schema whose alternatives multiply.
const maxSteps = 1_000_000

func (c *checker) fail(n *node, path, format string, args ...any) {
	file := c.file
	if n.file != "" {
		file = n.file
	}
	c.errs = append(c.errs, Error{File: file, Pos: n.pos, Path: path, Message: fmt.Sprintf(format, args...)})
}

// check judges n. depth ends schemas that refer to themselves in vain.
func (c *checker) check(s *jsonSchema, n *node, path string, depth int) {
	if *c.steps++; s == nil || n.shape == broken || depth > 2*maxDepth || *c.steps > maxSteps {
		return
	}
	if s.never {
		c.fail(n, path, "not accepted here")
		return
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
		target := c.root.Definitions[name]
		if target == nil {
			c.fail(n, path, "the plugin's schema lacks its definition %q", name)
			return
		}
		c.check(target, n, path, depth+1)
		return
	}
	if s.Ref == "#" {
		c.check(c.root, n, path, depth+1)
		return
	}
	if s.Secret && !(n.raw != "" && soleVariable(n.raw)) {
		c.fail(n, path, "a secret cannot be given as a literal; want ${VARIABLE}")
		return
	}
	if want := s.types(); len(want) > 0 && !slices.ContainsFunc(want, n.is) {
		c.fail(n, path, "want %s, got %s", typeWords(want), n.show())
		return
	}
	c.literal(s, n, path)
	switch n.shape {
	case integer, float:
		c.number(s, n, path)
	case text:
		c.text(s, n, path)
	case list:
		c.list(s, n, path, depth)
	case mapping:
		c.mapping(s, n, path, depth)
	}
	for _, sub := range s.AllOf {
		c.check(sub, n, path, depth+1)
	}
	c.branches(s.AnyOf, n, path, depth)
	c.branches(s.OneOf, n, path, depth)
	if s.Not != nil && len(c.try(s.Not, n, path, depth)) == 0 {
		c.fail(n, path, "not accepted here")
	}
}

func (c *checker) literal(s *jsonSchema, n *node, path string) {
	want := s.Enum
	if s.Const != nil {
		want = []any{*s.Const}
	}
	if want == nil {
		return
	}
	v, err := n.value()
	if err != nil {
		c.fail(n, path, "%s", err)
		return
	}
	var words []string
	for _, w := range want {
		if reflect.DeepEqual(asJSON(v), w) {
			return
		}
		words = append(words, fmt.Sprint(w))
	}
	message := fmt.Sprintf("want %s, got %s", choices(words), n.show())
	if best := registry.Nearest(n.text, words); best != "" && len(words) > 1 {
		message += fmt.Sprintf("; did you mean %q?", best)
	}
	c.fail(n, path, "%s", message)
}

// asJSON gives a value the types of encoding/json.
func asJSON(v any) any {
	if i, ok := v.(int); ok {
		return float64(i)
	}
	return v
}

func (c *checker) number(s *jsonSchema, n *node, path string) {
	x, err := n.value()
	if err != nil {
		return
	}
	v, _ := asJSON(x).(float64)
	for _, b := range []struct {
		limit *float64
		op    string
	}{{s.Minimum, ">="}, {s.Maximum, "<="}, {s.ExclusiveMinimum, ">"}, {s.ExclusiveMaximum, "<"}} {
		if b.limit == nil {
			continue
		}
		if b := (bound{b.op, *b.limit}); !b.holds(v) {
			c.fail(n, path, "must be %s, got %s", b, n.show())
			return
		}
	}
	if m := s.MultipleOf; m != nil && *m > 0 && math.Abs(v / *m - math.Round(v / *m)) > 1e-9 {
		c.fail(n, path, "must be a multiple of %g, got %s", *m, n.show())
	}
}

func (c *checker) text(s *jsonSchema, n *node, path string) {
	length := len([]rune(n.text))
	switch {
	case s.MinLength != nil && length < *s.MinLength:
		c.fail(n, path, "must have at least %d characters", *s.MinLength)
	case s.MaxLength != nil && length > *s.MaxLength:
		c.fail(n, path, "must have at most %d characters", *s.MaxLength)
	case s.pattern != nil && !s.pattern.MatchString(n.text):
		c.fail(n, path, "must match %s, got %s", s.Pattern, n.show())
	}
}

func (c *checker) list(s *jsonSchema, n *node, path string, depth int) {
	switch {
	case s.MinItems != nil && len(n.items) < *s.MinItems:
		c.fail(n, path, "want at least %d entries, got %d", *s.MinItems, len(n.items))
	case s.MaxItems != nil && len(n.items) > *s.MaxItems:
		c.fail(n, path, "want at most %d entries, got %d", *s.MaxItems, len(n.items))
	}
	for i, e := range n.items {
		c.check(s.Items, e, dotted.index(path, i), depth+1)
	}
}

func (c *checker) mapping(s *jsonSchema, n *node, path string, depth int) {
	known := slices.Sorted(maps.Keys(s.Properties))
	meant := map[string]bool{}
	for i, k := range n.keys {
		e, at := n.items[i], dotted.key(path, k.name)
		if p, ok := s.Properties[k.name]; ok {
			c.check(p, e, at, depth+1)
			continue
		}
		matched := false
		for _, re := range slices.Sorted(maps.Keys(s.PatternProperties)) {
			if ok, err := regexp.MatchString(re, k.name); err == nil && ok {
				matched = true
				c.check(s.PatternProperties[re], e, at, depth+1)
			}
		}
		switch {
		case matched || s.AdditionalProperties == nil:
		case s.AdditionalProperties.never:
			c.fail(&node{pos: k.pos, file: e.file}, path, "%s", Unknown("key", k.name, known))
			meant[registry.Nearest(k.name, known)] = true
		default:
			c.check(s.AdditionalProperties, e, at, depth+1)
		}
	}
	for _, r := range s.Required {
		if n.index(r) < 0 && !meant[r] {
			c.fail(n, path, "missing key %q", r)
		}
	}
	if s.MinProperties != nil && len(n.keys) < *s.MinProperties || s.MaxProperties != nil && len(n.keys) > *s.MaxProperties {
		c.fail(n, path, "got %d keys, want %s", len(n.keys), amount(s.MinProperties, s.MaxProperties))
	}
}

func amount(lo, hi *int) string {
	switch {
	case hi == nil:
		return fmt.Sprintf("at least %d", *lo)
	case lo == nil:
		return fmt.Sprintf("at most %d", *hi)
	case *lo == *hi:
		return fmt.Sprint(*lo)
	}
	return fmt.Sprintf("%d to %d", *lo, *hi)
}

// try judges without reporting.
func (c *checker) try(s *jsonSchema, n *node, path string, depth int) Errors {
	sub := &checker{root: c.root, file: c.file, steps: c.steps}
	sub.check(s, n, path, depth+1)
	return sub.errs
}

// branches demands that one alternative fits. If none does, the one that
// comes nearest speaks: the one whose faults lie deepest.
func (c *checker) branches(of []*jsonSchema, n *node, path string, depth int) {
	if len(of) == 0 {
		return
	}
	var faults []Errors
	var types []string
	typed := true // every alternative names its types
	for _, s := range of {
		if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok && c.root.Definitions[name] != nil {
			s = c.root.Definitions[name]
		}
		typed = typed && len(s.types()) > 0
		types = append(types, s.types()...)
		errs := c.try(s, n, path, depth)
		if len(errs) == 0 {
			return
		}
		faults = append(faults, errs)
	}
	if typed && !slices.ContainsFunc(types, n.is) {
		c.fail(n, path, "want %s, got %s", typeWords(types), n.show())
		return
	}
	sort.SliceStable(faults, func(i, j int) bool { return depthOf(faults[i], path) > depthOf(faults[j], path) })
	c.errs = append(c.errs, faults[0]...)
}

// depthOf ranks faults: below the value itself, then about its keys, then
// about its type.
func depthOf(errs Errors, path string) int {
	rank := math.MaxInt
	for _, e := range errs {
		r := 2 * len(e.Path)
		if e.Path == path && !strings.HasPrefix(e.Message, "want ") {
			r++
		}
		rank = min(rank, r)
	}
	return rank
}
