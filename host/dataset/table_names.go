package dataset

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

var indexName = regexp.MustCompile(`^(Unnamed: \d+(\.\d+)*|__index_level_\d+__)?$`)

// IsIndexName reports whether a column of that name is an index that pandas
// wrote: "", "Unnamed: 0", "__index_level_0__" and their like.
func IsIndexName(name string) bool { return indexName.MatchString(name) }

// byName matches the columns of a file with names.
func (t *table) byName(label string, o ReadOptions) error {
	used := make([]bool, len(t.columns)) // by column
	mark := func(cell int) {
		if cell >= 0 {
			used[sort.SearchInts(t.start, cell+1)-1] = true
		}
	}
	var err error
	if label != "" {
		if t.label, err = t.single(label, "labels"); err != nil {
			return err
		}
		if t.label < 0 && t.asked {
			return t.lacks(label)
		}
		mark(t.label)
	}
	if s := t.schema.Label; s != "" && s != label && !t.isFeature(s) {
		i, err := t.find(s)
		if err != nil {
			return err
		}
		if i >= 0 {
			used[i] = true
		}
	}
	if id := t.schema.ID; id != "" {
		if t.id, err = t.single(id, "id"); err != nil {
			return err
		}
		if t.id < 0 && (t.schema.Features == nil || t.schema.AskedID) {
			return t.lacks(id)
		}
		mark(t.id)
	}
	for _, k := range t.schema.Keep {
		i, err := t.single(k, "kept ones")
		if err != nil {
			return err
		}
		if i < 0 {
			return t.lacks(k)
		}
		t.keep = append(t.keep, i)
	}
	for i, c := range t.columns {
		if c.Name == ArrayColumn && c.Size > 0 && o.array() {
			return t.asArray(i, used)
		}
	}
	if t.schema.Features == nil {
		return t.freely(used)
	}
	for _, i := range t.keep {
		mark(i)
	}
	return t.asKnown(used)
}

// ArrayColumn is the name of the column of lists that holds the rows of a table
// of arrays.
const ArrayColumn = "x"

// array reports whether a table may be one of arrays.
func (o ReadOptions) array() bool {
	return o.Example != nil && (o.Schema == nil || o.Schema.Arrays || o.Schema.Features == nil && o.Schema.Rules == nil)
}

// ListSize is the length of the lists of a column where the options tell it: of
// what a schema knows, or of the array's column; 0: they do not.
func (o ReadOptions) ListSize(name string) int {
	if name == ArrayColumn && o.array() {
		return o.Example.Size()
	}
	if o.Schema != nil {
		for _, k := range o.Schema.Columns() {
			if k.Name == name {
				return k.Size
			}
		}
	}
	return 0
}

// asArray takes column i as the row. Other columns need not be told of: a table
// of arrays has them for its own reader.
func (t *table) asArray(i int, used []bool) error {
	if used[i] {
		return fmt.Errorf("column %q is the row, and no label, id or column to keep", ArrayColumn)
	}
	t.array, t.schema.Features = i, nil
	for k := range t.columns[i].Size {
		f := Feature{Kind: KindNumber}
		t.schema.Features = append(t.schema.Features, f)
		if err := t.add(i, t.start[i]+k, f); err != nil {
			return err
		}
	}
	return nil
}

// asKnown finds the known features.
func (t *table) asKnown(used []bool) error {
	if t.schema.Features[0].Name == "" {
		return t.inOrder(used)
	}
	var missing []string
	for _, f := range t.schema.Features {
		name, place := f.Name, 0
		i, err := t.find(name)
		if err != nil {
			return err
		}
		if i < 0 { // an entry of a column of lists
			if name, place = splitPlace(f.Name); name != "" {
				i, err = t.find(name)
			}
			if err != nil {
				return err
			}
			if i >= 0 && place >= t.columns[i].Size {
				i = -1
			}
		} else if t.columns[i].Size > 0 {
			return fmt.Errorf("column %q holds lists, want single values", f.Name)
		}
		if i < 0 {
			missing = append(missing, f.Name)
			continue
		}
		used[i] = true
		if err := t.add(i, t.start[i]+place, f); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return t.lacks(missing...)
	}
	var left, index []string
	for i, c := range t.columns {
		switch {
		case used[i]:
		case c.Index || IsIndexName(c.Name):
			index = append(index, c.Name)
		default:
			left = append(left, c.Name)
		}
	}
	t.leftOut(index)
	if len(left) > 0 {
		t.notices = append(t.notices, fmt.Sprintf("columns that are no features are left out: %s", list(left)))
	}
	return nil
}

// inOrder takes features without names for the columns in order.
func (t *table) inOrder(used []bool) error {
	var index, names []string
	var free []int
	for i, c := range t.columns {
		switch {
		case used[i]:
		case c.Index || IsIndexName(c.Name):
			index = append(index, c.Name)
		default:
			names = append(names, c.Name)
			for k := range max(c.Size, 1) {
				if len(t.fields) < len(t.schema.Features) {
					if err := t.add(i, t.start[i]+k, t.schema.Features[len(t.fields)]); err != nil {
						return err
					}
				}
				free = append(free, i)
			}
		}
	}
	if n := len(t.schema.Features); len(free) != n {
		return fmt.Errorf("%d columns, want %d, which have no names: it has %s", len(free), n, list(names))
	}
	t.leftOut(index)
	return nil
}

// Columns are those that the features come from: the entries NAME[0], NAME[1] …
// in a row are a column of lists.
func (s *Schema) Columns() []Column {
	var out []Column
	for _, f := range s.Features {
		name, place := splitPlace(f.Name)
		last := len(out) - 1
		switch {
		case name == "" || place > 0 && (last < 0 || out[last].Name != name || out[last].Size != place):
			out = append(out, Column{Name: f.Name})
		case place == 0:
			out = append(out, Column{Name: name, Size: 1})
		default:
			out[last].Size++
		}
	}
	return out
}

// splitPlace parts NAME[PLACE]; name is empty if it is none.
func splitPlace(s string) (name string, place int) {
	open := strings.LastIndexByte(s, '[')
	if open < 1 || !strings.HasSuffix(s, "]") {
		return "", 0
	}
	place, err := strconv.Atoi(s[open+1 : len(s)-1])
	if err != nil || place < 0 {
		return "", 0
	}
	return s[:open], place
}

// leftOut says that index columns are.
func (t *table) leftOut(index []string) {
	if len(index) == 0 {
		return
	}
	for i, n := range index {
		index[i] = strconv.Quote(n)
	}
	t.notices = append(t.notices, fmt.Sprintf("column %s is an index, as pandas writes one, and left out", list(index)))
}

func (t *table) isFeature(name string) bool {
	return slices.ContainsFunc(t.schema.Features, func(f Feature) bool { return f.Name == name })
}

// freely takes every column without another use for a feature.
func (t *table) freely(used []bool) error {
	for name := range t.schema.Rules {
		if i, err := t.find(name); err != nil {
			return err
		} else if i < 0 {
			return t.lacks(name)
		}
	}
	var index []string
	seen := make(map[string]bool, len(t.columns))
	for i, c := range t.columns {
		rule, asked := t.schema.Rules[c.Name]
		switch {
		case used[i] || rule.Ignore:
			continue
		case !asked && (c.Index || IsIndexName(c.Name)):
			index = append(index, c.Name)
			continue
		case seen[c.Name]:
			return fmt.Errorf("two columns %q", c.Name)
		}
		seen[c.Name] = true
		for k := range max(c.Size, 1) {
			cell := t.start[i] + k
			f := rule.feature(t.cellName(cell))
			t.schema.Features = append(t.schema.Features, f)
			if err := t.add(i, cell, f); err != nil {
				return err
			}
		}
	}
	t.leftOut(index)
	return nil
}

// feature is the one that a rule makes of a column.
func (r ColumnRule) feature(name string) Feature {
	f := Feature{Name: name, Kind: KindNumber, Missing: r.Missing}
	switch {
	case r.Categories != nil:
		f.Kind, f.Categories = KindCategory, r.Categories
	case r.Integer:
		f.Kind = KindInteger
	}
	return f
}
