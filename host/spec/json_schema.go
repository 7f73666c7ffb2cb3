package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// jsonSchema is the part of JSON Schema draft-07 that plugins describe their
// options with. Keywords that are not here (title, $comment, …) only inform, as
// do the last four, which explain shows.
type jsonSchema struct {
	Type                 any                    `json:"type"`
	Enum                 []any                  `json:"enum"`
	Const                *any                   `json:"const"`
	Properties           map[string]*jsonSchema `json:"properties"`
	PatternProperties    map[string]*jsonSchema `json:"patternProperties"`
	AdditionalProperties *jsonSchema            `json:"additionalProperties"`
	Required             []string               `json:"required"`
	MinProperties        *int                   `json:"minProperties"`
	MaxProperties        *int                   `json:"maxProperties"`
	Items                *jsonSchema            `json:"items"`
	MinItems             *int                   `json:"minItems"`
	MaxItems             *int                   `json:"maxItems"`
	Minimum              *float64               `json:"minimum"`
	Maximum              *float64               `json:"maximum"`
	ExclusiveMinimum     *float64               `json:"exclusiveMinimum"`
	ExclusiveMaximum     *float64               `json:"exclusiveMaximum"`
	MultipleOf           *float64               `json:"multipleOf"`
	MinLength            *int                   `json:"minLength"`
	MaxLength            *int                   `json:"maxLength"`
	Pattern              string                 `json:"pattern"`
	AllOf                []*jsonSchema          `json:"allOf"`
	AnyOf                []*jsonSchema          `json:"anyOf"`
	OneOf                []*jsonSchema          `json:"oneOf"`
	Not                  *jsonSchema            `json:"not"`
	Ref                  string                 `json:"$ref"`
	Definitions          map[string]*jsonSchema `json:"definitions"`
	Secret               bool                   `json:"secret"`
	Description          any                    `json:"description"`
	Default              any                    `json:"default"`
	Examples             any                    `json:"examples"`
	Format               any                    `json:"format"`

	never   bool // the schema false
	pattern *regexp.Regexp
}

// UnmarshalJSON also takes true and false.
func (s *jsonSchema) UnmarshalJSON(data []byte) error {
	switch strings.TrimSpace(string(data)) {
	case "true":
		return nil
	case "false":
		s.never = true
		return nil
	}
	type plain jsonSchema
	if err := json.Unmarshal(data, (*plain)(s)); err != nil {
		return err
	}
	if s.Pattern != "" {
		p, err := regexp.Compile(s.Pattern)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", s.Pattern, err)
		}
		s.pattern = p
	}
	return nil
}

// readSchema parses a schema and resolves nothing yet.
func readSchema(data []byte) (*jsonSchema, error) {
	s := new(jsonSchema)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("not a JSON Schema (draft-07): %w", err)
	}
	return s, nil
}

// typeWords says types as the rest of the program does.
func typeWords(types []string) string {
	words := map[string]string{"null": "nothing", "boolean": "true or false", "integer": "an integer", "number": "a number", "string": "a string", "array": "a list", "object": "a mapping"}
	var out []string
	for _, t := range types {
		if w := cmp.Or(words[t], t); !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return choices(out)
}

func (s *jsonSchema) types() []string {
	switch t := s.Type.(type) {
	case string:
		return []string{t}
	case []any:
		var out []string
		for _, e := range t {
			out = append(out, fmt.Sprint(e))
		}
		return out
	}
	return nil
}

// is reports whether a value is of a JSON Schema type.
func (n *node) is(typ string) bool {
	switch typ {
	case "null":
		return n.shape == null
	case "boolean":
		return n.shape == boolean
	case "integer":
		return n.shape == integer
	case "number":
		return n.shape == integer || n.shape == float
	case "string":
		return n.shape == text
	case "array":
		return n.shape == list
	case "object":
		return n.shape == mapping
	}
	return false
}
