// Package secret finds the values of a plugin's config that its JSON Schema
// marks with "secret": true, so that they are not written anywhere.
package secret

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Redacted stands for a secret in what Redact gives.
const Redacted = "***"

// Redact is config with the values that schema marks "secret": true replaced
// by Redacted, to be logged or written. A config that cannot be read is "{}".
func Redact(schema, config []byte) []byte {
	var doc any
	if json.Unmarshal(config, &doc) != nil {
		return []byte("{}")
	}
	doc = walk(readSchema(schema), doc, func(any) any { return Redacted })
	out, err := json.Marshal(doc)
	if err != nil {
		return []byte("{}")
	}
	return out
}

// Values are the texts in config that schema marks "secret": true, in a fixed
// order: what must not appear in anything that is written.
func Values(schema, config []byte) []string {
	var doc any
	if json.Unmarshal(config, &doc) != nil {
		return nil
	}
	var found []string
	walk(readSchema(schema), doc, func(v any) any {
		found = texts(found, v)
		return v
	})
	return found
}

// texts appends the strings within v.
func texts(found []string, v any) []string {
	switch v := v.(type) {
	case string:
		found = append(found, v)
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			found = texts(found, v[k])
		}
	case []any:
		for _, x := range v {
			found = texts(found, x)
		}
	}
	return found
}

// walk replaces the values of v that the schema marks as secret.
func walk(s schemas, v any, replace func(any) any) any {
	if s.secret() {
		return replace(v)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			v[k] = walk(s.at(k), v[k], replace)
		}
	case []any:
		for i, x := range v {
			v[i] = walk(s.at(strconv.Itoa(i)), x, replace)
		}
	}
	return v
}

// Marks reports whether the schema marks the value at a JSON pointer, or one
// that holds it, as secret.
func Marks(schema []byte, pointer string) bool {
	s := readSchema(schema)
	tokens := strings.Split(pointer, "/")[1:]
	if pointer == "" {
		tokens = nil
	}
	for _, t := range tokens {
		if s.secret() {
			return true
		}
		s = s.at(strings.NewReplacer("~1", "/", "~0", "~").Replace(t))
	}
	return s.secret()
}

// schemas is a JSON Schema, read for its marks alone: all the subschemas
// that may speak about one value. It follows properties,
// additionalProperties, patternProperties and items, references within the
// schema, and all alternatives.
type schemas struct {
	root  any
	alike []map[string]any
}

func readSchema(schema []byte) schemas {
	var root any
	if json.Unmarshal(schema, &root) != nil {
		return schemas{}
	}
	s := schemas{root: root}
	s.add(root, 0)
	return s
}

// add adds a subschema and those that it stands for. depth and the number of
// them end schemas that refer to themselves in vain.
func (s *schemas) add(sub any, depth int) {
	const deepest, most = 32, 1000
	m, ok := sub.(map[string]any)
	if !ok || depth > deepest || len(s.alike) > most {
		return
	}
	s.alike = append(s.alike, m)
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := m[key].([]any)
		for _, x := range list {
			s.add(x, depth+1)
		}
	}
	for _, key := range []string{"if", "then", "else"} {
		s.add(m[key], depth+1)
	}
	if ref, _ := m["$ref"].(string); strings.HasPrefix(ref, "#") {
		s.add(resolve(s.root, strings.TrimPrefix(ref, "#")), depth+1)
	}
}

// resolve follows a JSON pointer, nil if it leads nowhere.
func resolve(at any, pointer string) any {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if token == "" {
			continue
		}
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(token)]
	}
	return at
}

func (s schemas) secret() bool { return s.marks("secret", true) }

// marks reports whether one of the subschemas has a value under a keyword.
func (s schemas) marks(key string, value any) bool {
	return slices.ContainsFunc(s.alike, func(m map[string]any) bool { return m[key] == value })
}

// at is the schema of the value under a key, or of an item.
func (s schemas) at(key string) schemas {
	next := schemas{root: s.root}
	for _, m := range s.alike {
		properties, _ := m["properties"].(map[string]any)
		next.add(properties[key], 0)
		if _, ok := properties[key]; !ok {
			next.add(m["additionalProperties"], 0)
		}
		patterns, _ := m["patternProperties"].(map[string]any)
		for _, p := range patterns { // whichever match: rather too much than too little
			next.add(p, 0)
		}
		next.add(m["items"], 0)
		if list, ok := m["items"].([]any); ok {
			if i, err := strconv.Atoi(key); err == nil && i < len(list) {
				next.add(list[i], 0)
			}
		}
	}
	return next
}
