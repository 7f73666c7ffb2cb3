package formats

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// JSONL is JSON: one object or array of numbers per line, or all of them in one
// array. Objects have columns by name; arrays may be nested, and take the shape
// wanted for that of their rows. It is what standard input holds by default.
type JSONL struct{}

var _ dataset.StreamFormat = JSONL{}

// Traits implements dataset.Format.
func (JSONL) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".jsonl", ".ndjson", ".json"}, Default: true, Objects: true}
}

// Open implements dataset.Format.
func (f JSONL) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return dataset.OpenStreamed(f, path, o)
}

// Stream implements dataset.StreamFormat.
func (JSONL) Stream(c *dataset.Content, o dataset.ReadOptions) (dataset.Reader, error) {
	src, first, err := newJSONSource(c, o.Example)
	if err != nil {
		return nil, err
	}
	if first != '{' && !asTable(o) {
		return newJSONArrays(src, o.Example)
	}
	if first == 0 && !sized(o) {
		return nil, fmt.Errorf("%s: empty", c.Name)
	}
	r, err := newJSONRecords(src, o)
	if err != nil {
		return nil, err
	}
	return dataset.NewTable(r, c.Name, o)
}

// asTable reports whether arrays are more than numbers of one shape.
func asTable(o dataset.ReadOptions) bool {
	s := o.Schema
	return o.Label != "" || s != nil && (s.Label != "" || s.ID != "" || s.Features != nil || s.Rules != nil || s.Keep != nil)
}
