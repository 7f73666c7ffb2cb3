package dataset

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/registry"
)

// ColumnSpec is what data.columns says of a column of tables.
type ColumnSpec struct {
	Integer    bool     `yaml:"integer" doc:"whole numbers: others are an error, and attacks keep to them"`
	Categories []any    `yaml:"categories" doc:"the legal values: each becomes a column of 0 and 1, one-hot, in this order"`
	Missing    any      `yaml:"missing" doc:"what stands in for no value: median, mean (both rounded in an integer column) or most_frequent of data.train, a number, or a category; absent: a row without is an error"`
	Min        *float64 `yaml:"min" doc:"least value that attacks may give it"`
	Max        *float64 `yaml:"max" doc:"largest value that attacks may give it"`
	Immutable  bool     `yaml:"immutable" doc:"attacks leave it as it is"`
	OneHot     string   `yaml:"one_hot" doc:"group of columns that are one-hot already: of those of one name exactly one is 1, which attacks keep"`
	Ignore     bool     `yaml:"ignore" doc:"is no feature"`
}

// How a missing value is filled in, besides by a value.
const (
	FillMedian       = "median"
	FillMean         = "mean"
	FillMostFrequent = "most_frequent"
)

// Validate implements registry.Validator.
func (c ColumnSpec) Validate() error {
	var faults registry.FieldErrors
	names := c.Names()
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			faults.Add("categories", "%q is given twice", n)
		}
	}
	if c.Categories != nil {
		if len(names) < 2 {
			faults.Add("categories", "want two or more, got %d", len(names))
		}
		for key, set := range map[string]bool{"integer": c.Integer, "min": c.Min != nil, "max": c.Max != nil, "one_hot": c.OneHot != ""} {
			if set {
				faults.Add(key, "is for numbers, and the column has categories")
			}
		}
	}
	if c.Min != nil && c.Max != nil && *c.Min > *c.Max {
		faults.Add("max", "%v, want at least min, which is %v", *c.Max, *c.Min)
	}
	switch m := c.Missing.(type) {
	case nil:
	case string:
		known := []string{FillMostFrequent}
		if c.Categories == nil {
			known = append(known, FillMedian, FillMean)
		}
		if !slices.Contains(known, m) && !slices.Contains(names, m) {
			faults.Add("missing", "%q, want %s or one of the categories or a number", m, alternatives(known))
		}
	case bool, []any, map[string]any:
		faults.Add("missing", "want a word or a value, got %v", m)
	default:
		if v, err := strconv.ParseFloat(Canonical(m), 64); c.Categories == nil && (err != nil || math.IsInf(v, 0) || math.IsNaN(v)) {
			faults.Add("missing", "want a finite number, got %v", m)
		} else if c.Integer && v != math.Trunc(v) {
			faults.Add("missing", "%v is no whole number, and the column is integer", m)
		} else if c.Categories != nil && !slices.Contains(names, Canonical(m)) {
			faults.Add("missing", "%v is none of the categories", m)
		}
	}
	return faults.Err()
}

// Names are the categories as text, nil for a number.
func (c ColumnSpec) Names() []string {
	if c.Categories == nil {
		return nil
	}
	out := make([]string, len(c.Categories))
	for i, v := range c.Categories {
		out[i] = Canonical(v)
	}
	return out
}

// Canonical is a value of YAML or JSON as a cell of text would hold it: numbers
// without needless digits, so that 1 and 1.0 are one.
func Canonical(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	}
	return fmt.Sprint(v)
}

// Rules are what data.columns says to readers of tables.
func (s Section) Rules() map[string]ColumnRule {
	if s.Columns == nil {
		return nil
	}
	out := make(map[string]ColumnRule, len(s.Columns))
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		c := s.Columns[name]
		out[name] = ColumnRule{Integer: c.Integer, Categories: c.Names(), Missing: c.Missing != nil, Ignore: c.Ignore}
	}
	return out
}

// Values are one number for all, or one each.
type Values []float64

// DecodeValue implements registry.Decoder.
func (n *Values) DecodeValue(v any) error {
	one := func(v any) (float64, error) {
		switch v := v.(type) {
		case int:
			return float64(v), nil
		case float64:
			return v, nil
		}
		return 0, fmt.Errorf("want a number or a list of numbers, got %v", v)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 {
		return fmt.Errorf("want a number or a list of numbers, got an empty list")
	}
	*n = make(Values, len(list))
	for i, e := range list {
		var err error
		if (*n)[i], err = one(e); err != nil {
			return err
		}
	}
	return nil
}

// EncodeValue implements registry.Encoder.
func (n Values) EncodeValue() any {
	switch len(n) {
	case 0:
		return nil
	case 1:
		return plainNumber(n[0])
	}
	out := make([]any, len(n))
	for i, v := range n {
		out[i] = plainNumber(v)
	}
	return out
}

// plainNumber is a whole number as such.
func plainNumber(v float64) any {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return int(v)
	}
	return v
}

// JSONSchema implements registry.Schemer.
func (Values) JSONSchema() map[string]any {
	return map[string]any{"oneOf": []any{
		map[string]any{"type": "number"},
		map[string]any{"type": "array", "items": map[string]any{"type": "number"}, "minItems": 1},
	}}
}

// At is the number of position i.
func (n Values) At(i int) float64 {
	if len(n) == 1 {
		return n[0]
	}
	return n[i]
}
