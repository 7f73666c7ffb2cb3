package secret

import (
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
	marked := func(key string, value any) bool {
		return slices.ContainsFunc(s.alike, func(m map[string]any) bool { return m[key] == value })
	}
	switch v := v.(type) {
	case string:
		if v != "" && marked("format", "path") {
			found = append(found, Path{Pointer: pointer, Value: v, Private: marked("private", true)})
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			found = paths(found, s.at(k), pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), v[k])
		}
	case []any:
		for i, x := range v {
			found = paths(found, s.at(strconv.Itoa(i)), pointer+"/"+strconv.Itoa(i), x)
		}
	}
	return found
}
