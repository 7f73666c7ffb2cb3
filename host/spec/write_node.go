package spec

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// bare are strings that need no quotes in any reader.
var bare = regexp.MustCompile(`^[A-Za-z_./][A-Za-z0-9_./+-]*( [A-Za-z0-9_./+-]+)*$`)

func plainNode(text, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

// stringNode writes a string so that it is read as one. A text that looks
// like a variable is escaped.
func stringNode(s string) *yaml.Node {
	y := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: variable.ReplaceAllStringFunc(s, escaped)}
	if kind, _, hint := resolve(s); kind != text || hint != "" || !bare.MatchString(s) || yes[strings.ToLower(s)] {
		y.Style = yaml.DoubleQuotedStyle
	}
	return y
}

// yes are truth values to YAML 1.1 alone.
var yes = map[string]bool{"y": true, "n": true, "yes": true, "no": true, "on": true, "off": true}

// escaped is a text that looks like a variable, as $${…} and hidden.
func escaped(m string) string {
	return string(hideVariables([]byte("$" + m)))
}

// rawNode writes a scalar as the file has it, variables unexpanded.
func rawNode(n *node) *yaml.Node {
	y := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(hideVariables([]byte(n.raw)))}
	if n.quote {
		y.Style = yaml.DoubleQuotedStyle
	}
	return y
}

// yaml is the tree as written, variables unexpanded.
func (n *node) yaml() *yaml.Node {
	if n.raw != "" {
		return rawNode(n)
	}
	switch n.shape {
	case boolean:
		return plainNode(n.text, "!!bool")
	case integer:
		return plainNode(n.text, "!!int")
	case float:
		return plainNode(n.text, "!!float")
	case text:
		return stringNode(n.text)
	case list:
		y := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
		for _, e := range n.items {
			y.Content = append(y.Content, e.yaml())
		}
		return y
	case mapping:
		y := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle}
		for i, e := range n.items {
			y.Content = append(y.Content, stringNode(n.keys[i].name), e.yaml())
		}
		return y
	}
	return plainNode("null", "!!null")
}

// scalarNode writes a number, truth value or string.
func scalarNode(v reflect.Value) *yaml.Node {
	switch v.Kind() {
	case reflect.Bool:
		return plainNode(strconv.FormatBool(v.Bool()), "!!bool")
	case reflect.String:
		return stringNode(v.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return plainNode(strconv.FormatInt(v.Int(), 10), "!!int")
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return plainNode(strconv.FormatUint(v.Uint(), 10), "!!int")
	case reflect.Float32, reflect.Float64:
		y := plainNode(strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()), "!!float")
		if integerForm.MatchString(y.Value) {
			y.Tag = "!!int" // or yaml.v3 would write the tag
		} else if m, e, ok := strings.Cut(y.Value, "e"); ok && !strings.Contains(m, ".") {
			y.Value = m + ".0e" + e // 1e-07 is a string to YAML 1.1
		}
		return y
	}
	panic("spec: no YAML form for options of type " + v.Type().String())
}

// anything writes a value without a schema, keys sorted. Floats keep a point
// or an exponent, so that they are read as floats again.
func (w *writer) anything(x any, path string) *yaml.Node {
	v := reflect.ValueOf(x)
	if !v.IsValid() {
		return plainNode("null", "!!null")
	}
	switch v.Kind() {
	case reflect.Map:
		y := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		m := make(map[string]any, v.Len())
		for _, k := range v.MapKeys() {
			m[fmt.Sprint(k.Interface())] = v.MapIndex(k).Interface()
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			y.Content = append(y.Content, stringNode(k), w.anything(m[k], dotted.key(path, k)))
		}
		return compact(y, path)
	case reflect.Slice, reflect.Array:
		y := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v.Len() {
			y.Content = append(y.Content, w.anything(v.Index(i).Interface(), dotted.index(path, i)))
		}
		return compact(y, path)
	case reflect.Float32, reflect.Float64:
		y := scalarNode(v)
		if integerForm.MatchString(y.Value) {
			y.Value, y.Tag = y.Value+".0", "!!float"
		}
		return w.scalar(y, path)
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return plainNode("null", "!!null")
		}
		return w.anything(v.Elem().Interface(), path)
	}
	return w.scalar(scalarNode(v), path)
}

// compact puts small collections below the top on one line.
func compact(y *yaml.Node, path string) *yaml.Node {
	if len(y.Content) == 0 {
		y.Style = yaml.FlowStyle
		return y
	}
	if !strings.ContainsAny(path, ".[") {
		return y
	}
	for _, e := range y.Content {
		if e.Kind != yaml.ScalarNode && (e.Kind != yaml.SequenceNode || e.Style != yaml.FlowStyle) {
			return y
		}
	}
	y.Style = yaml.FlowStyle
	return y
}

// flatten is a text that tells two trees apart.
func flatten(y *yaml.Node) string {
	if y == nil {
		return ""
	}
	if y.Kind == yaml.ScalarNode {
		return y.Tag + strconv.Quote(y.Value)
	}
	var b strings.Builder
	b.WriteString(y.Tag + "(")
	for _, e := range y.Content {
		b.WriteString(flatten(e) + " ")
	}
	return b.String() + ")"
}
