package formats

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
)

// jsonRecords are objects by the names of their keys, or arrays by position.
// Where the features are known, both may come in any order: an array then has
// the features in theirs.
type jsonRecords struct {
	*jsonSource
	header  bool
	pending string // the first value
	fault   error  // of the first value
	columns []dataset.Column
	start   []int          // first cell of each column
	at      map[string]int // columns by name
	width   int
	known   []dataset.Column // those of the features, in order; nil: not known
	needed  map[string]bool  // features that have to have a value
	cells   []dataset.Cell
	entries []dataset.Cell
	seen    []bool   // columns that the object has
	others  []string // keys that are no column's
}

var _ dataset.Lined = (*jsonRecords)(nil)

func newJSONRecords(src *jsonSource, o dataset.ReadOptions) (*jsonRecords, error) {
	r := &jsonRecords{jsonSource: src, at: map[string]int{}, needed: map[string]bool{}}
	text, err := src.next()
	r.pending = string(text)
	if err != nil {
		r.fault = err
	}
	if s := o.Schema; s != nil && len(s.Features) > 0 && s.Features[0].Name != "" {
		r.known = s.Columns()
		for _, f := range s.Features {
			if !f.Missing {
				r.needed[f.Name] = true
			}
		}
	}
	if strings.HasPrefix(r.pending, "[") || r.pending == "" {
		return r, r.positions(o)
	}
	r.header = true
	for _, c := range r.known {
		r.add(c)
	}
	if s := o.Schema; s != nil && r.known != nil {
		others := slices.Clone(s.Keep)
		if !s.AskedLabel { // else the first object has it
			others = append(others, o.Label, s.Label)
		}
		if !s.AskedID {
			others = append(others, s.ID)
		}
		for _, name := range others {
			if name != "" {
				r.add(dataset.Column{Name: name})
			}
		}
	}
	if err := r.object(r.pending, func(key string, n int, list bool) {
		c := dataset.Column{Name: key}
		if list {
			c.Size = n
		}
		r.add(c)
	}); err != nil && r.known == nil {
		return nil, fmt.Errorf("%s: line %d: %w", r.Name, r.line, err)
	}
	return r, nil
}

// positions takes the entries of the first array for columns.
func (r *jsonRecords) positions(o dataset.ReadOptions) error {
	if err := r.array(r.pending); err != nil && !sized(o) {
		return fmt.Errorf("%s: line %d: %w", r.Name, r.line, err)
	}
	r.columns = make([]dataset.Column, len(r.entries))
	return nil
}

// add makes a column, if there is none of that name.
func (r *jsonRecords) add(c dataset.Column) {
	if _, ok := r.at[c.Name]; ok {
		return
	}
	r.at[c.Name] = len(r.columns)
	r.columns = append(r.columns, c)
	r.start = append(r.start, r.width)
	r.width += max(c.Size, 1)
}

func (r *jsonRecords) Columns() []dataset.Column { return r.columns }
func (r *jsonRecords) Header() bool              { return r.header }
func (r *jsonRecords) Count() int                { return -1 }
func (r *jsonRecords) Line() int                 { return r.line }

// Record implements dataset.Records.
func (r *jsonRecords) Record() ([]dataset.Cell, error) {
	text, err := r.pending, r.fault
	if r.pending, r.fault = "", nil; text == "" && err == nil {
		var b []byte
		b, err = r.next()
		text = string(b)
	}
	if isEOF(err) {
		return nil, err
	}
	if err != nil && !errors.Is(err, errLong) {
		return nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	r.Row++
	var cells []dataset.Cell
	if err == nil {
		cells, err = r.record(text)
	}
	if err != nil {
		return nil, r.bad(err)
	}
	return cells, nil
}

func (r *jsonRecords) record(text string) ([]dataset.Cell, error) {
	if strings.HasPrefix(text, "[") {
		if err := r.array(text); err != nil || !r.header {
			return r.entries, err
		}
		return r.spread()
	}
	switch {
	case r.header:
	case r.known == nil:
		return nil, errors.New("an object, and no names of columns are known")
	case len(r.at) == 0: // the first object after arrays
		r.columns = nil // NewTable has those of the arrays
		for _, c := range r.known {
			r.add(c)
		}
	}
	r.cells = slices.Grow(r.cells[:0], r.width)[:r.width]
	clear(r.cells)
	r.seen = slices.Grow(r.seen[:0], len(r.start))[:len(r.start)]
	clear(r.seen)
	r.others = r.others[:0]
	if err := r.object(text, nil); err != nil {
		return nil, err
	}
	if r.known == nil {
		if len(r.others) > 0 {
			return nil, fmt.Errorf("key %q is not one of the first object's", r.others[0])
		}
		return r.cells, nil
	}
	for _, c := range r.known {
		if i := r.at[c.Name]; !r.seen[i] && r.needed[c.Name] {
			near := registry.Nearest(c.Name, r.useless())
			if near != "" {
				near = fmt.Sprintf("; did you mean it by %q?", near)
			}
			return nil, fmt.Errorf("column %q: the object has no such key%s", c.Name, near)
		}
	}
	return r.cells, nil
}

// useless are the keys of the object at hand that are no features.
func (r *jsonRecords) useless() []string {
	out := slices.Clone(r.others)
	for i, c := range r.columns[len(r.known):] {
		if r.seen[len(r.known)+i] {
			out = append(out, c.Name)
		}
	}
	return out
}

// spread brings an array to the places of the known features.
func (r *jsonRecords) spread() ([]dataset.Cell, error) {
	if r.known == nil {
		return nil, errors.New("an array, the first row is an object")
	}
	n := 0
	for _, c := range r.known {
		n += max(c.Size, 1)
	}
	if len(r.entries) != n {
		return nil, fmt.Errorf("%d entries, want %d", len(r.entries), n)
	}
	// The features are the first columns.
	r.cells = append(slices.Grow(r.cells[:0], r.width), r.entries...)[:r.width]
	clear(r.cells[n:])
	return r.cells, nil
}

// array reads the numbers, words and nulls of an array, however nested.
func (r *jsonRecords) array(text string) error {
	r.entries = r.entries[:0]
	p := &jsonText{rest: text}
	p.value(&r.entries, 0)
	return p.close()
}

// object reads the values of an object into their cells; with each, it only
// tells of its keys, how many values they have, and whether in an array.
func (r *jsonRecords) object(text string, each func(key string, n int, list bool)) error {
	p := &jsonText{rest: text}
	if !p.take('{') {
		return fmt.Errorf("%.40q is neither an object nor an array", text)
	}
	for first := true; p.err == nil; first = false {
		if p.take('}') {
			break
		}
		if !first && !p.take(',') {
			return p.fail("want , or }")
		}
		key := p.str()
		if p.err == nil && !p.take(':') {
			return p.fail("want : after " + strconv.Quote(key))
		}
		list := p.peek() == '['
		r.entries = r.entries[:0]
		p.value(&r.entries, 0)
		if p.err != nil {
			return fmt.Errorf("key %q: %w", key, p.err)
		}
		if each != nil {
			each(key, len(r.entries), list)
			continue
		}
		if err := r.put(key); err != nil {
			return err
		}
	}
	return p.close()
}

// put keeps the entries of a key.
func (r *jsonRecords) put(key string) error {
	i, ok := r.at[key]
	if !ok {
		r.others = append(r.others, key)
		return nil
	}
	if r.seen[i] {
		return fmt.Errorf("two keys %q", key)
	}
	r.seen[i] = true
	n := max(r.columns[i].Size, 1)
	if len(r.entries) == 1 && r.entries[0].Kind == dataset.CellMissing {
		return nil // null for all of a list
	}
	if len(r.entries) != n {
		return fmt.Errorf("column %q: %d values, want %d", key, len(r.entries), n)
	}
	copy(r.cells[r.start[i]:], r.entries)
	return nil
}
