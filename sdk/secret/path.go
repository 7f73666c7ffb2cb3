package secret

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Path is a string of a config that the schema marks "format": "path".
type Path struct {
	Pointer string // JSON pointer of the value
	Value   string
	// Private says that the schema marks it "private": true too: a file that
	// belongs to a machine, such as a key, and does not travel with a model.
	Private bool
}

// Paths are the files and folders that config names, in a fixed order. Empty
// strings name none.
func Paths(schema, config []byte) []Path {
	var doc any
	if json.Unmarshal(config, &doc) != nil {
		return nil
	}
	return paths(nil, readSchema(schema), "", doc)
}

func paths(found []Path, s schemas, pointer string, v any) []Path {
	switch v := v.(type) {
	case string:
		if v != "" && s.marks("format", "path") {
			found = append(found, Path{Pointer: pointer, Value: v, Private: s.marks("private", true)})
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			found = paths(found, s.at(k), pointer+"/"+escape(k), v[k])
		}
	case []any:
		for i, x := range v {
			found = paths(found, s.at(strconv.Itoa(i)), pointer+"/"+strconv.Itoa(i), x)
		}
	}
	return found
}

// Strings are all strings of config but empty ones, in a fixed order, as if each named a path.
func Strings(config []byte) []Path {
	doc, err := readConfig(config)
	if err != nil {
		return nil
	}
	var found []Path
	var walk func(pointer string, v any)
	walk = func(pointer string, v any) {
		switch v := v.(type) {
		case string:
			if v != "" {
				found = append(found, Path{Pointer: pointer, Value: v})
			}
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(pointer+"/"+escape(k), v[k])
			}
		case []any:
			for i, x := range v {
				walk(pointer+"/"+strconv.Itoa(i), x)
			}
		}
	}
	walk("", doc)
	return found
}

// Uses reports whether a schema marks any value with key: true.
func Uses(schema []byte, key string) bool {
	doc, err := readConfig(schema)
	if err != nil {
		return false
	}
	var within func(v any) bool
	within = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			if v[key] == true {
				return true
			}
			for _, x := range v {
				if within(x) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, within)
		}
		return false
	}
	return within(doc)
}

// Value is a value of a config that the schema marks.
type Value struct {
	Pointer string // JSON pointer of the value
	JSON    string // the value
}

// Marked are the values of config that schema marks with key: true, in a fixed order; of one
// within another that is marked, the outer alone. "peer" marks what decides with whom a plugin
// speaks, "allowance" what it may take beyond its own limits.
func Marked(schema, config []byte, key string) []Value {
	doc, err := readConfig(config)
	if err != nil {
		return nil
	}
	var found []Value
	each(readSchema(schema), "", doc, key, func(pointer string, v any) {
		if text, err := json.Marshal(v); err == nil {
			found = append(found, Value{Pointer: pointer, JSON: string(text)})
		}
	})
	return found
}

// each calls found for the marked values of v.
func each(s schemas, pointer string, v any, key string, found func(pointer string, v any)) {
	if s.marks(key, true) {
		found(pointer, v)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			each(s.at(k), pointer+"/"+escape(k), v[k], key, found)
		}
	case []any:
		for i, x := range v {
			each(s.at(strconv.Itoa(i)), pointer+"/"+strconv.Itoa(i), x, key, found)
		}
	}
}

// Without is config without the members of its objects that pointers name.
func Without(config []byte, pointers ...string) ([]byte, error) {
	doc, err := readConfig(config)
	if err != nil {
		return nil, err
	}
	for _, pointer := range pointers {
		at := doc
		tokens := strings.Split(pointer, "/")[1:]
		for i, token := range tokens {
			key := unescape(token)
			switch v := at.(type) {
			case map[string]any:
				if at = v[key]; i == len(tokens)-1 {
					delete(v, key)
				}
			case []any:
				at = nil
				if n, err := strconv.Atoi(key); err == nil && n >= 0 && n < len(v) {
					at = v[n]
				}
			default:
				at = nil
			}
		}
	}
	return json.Marshal(doc)
}

// readConfig keeps numbers as they are written.
func readConfig(config []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(config))
	d.UseNumber()
	var doc any
	err := d.Decode(&doc)
	return doc, err
}

func escape(token string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(token) }

func unescape(token string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(token) }
