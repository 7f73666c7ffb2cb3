package dataset

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vaeguard/vaeguard/host/registry"
)

// maxFeatures bounds the columns of a table whose cells are numbers of an
// example.
const maxFeatures = 1 << 22

// match finds the cells of features, label and id.
func (t *table) match(o ReadOptions) error {
	t.columns = t.Columns()
	t.start = make([]int, len(t.columns))
	for i, c := range t.columns {
		t.start[i] = t.width
		if t.width += max(c.Size, 1); t.width > maxFeatures {
			return fmt.Errorf("more than %d numbers a row", maxFeatures)
		}
	}
	label := o.Label
	if label == "" {
		label = t.schema.Label
	}
	t.required = label != "" && (t.schema.Features == nil || label != t.schema.Label)
	t.asked = t.required || label != "" && t.schema.AskedLabel
	match := t.byPosition
	if t.Header() {
		match = t.byName
	}
	if err := match(label, o); err != nil {
		return err
	}
	t.schema.Label = label
	if len(t.fields) == 0 {
		return errors.New("no column other than the labels")
	}
	return nil
}

// find is the one column of that name, -1 if there is none.
func (t *table) find(name string) (int, error) {
	at := -1
	for i, c := range t.columns {
		if c.Name != name {
			continue
		}
		if at >= 0 {
			return -1, fmt.Errorf("two columns %q", name)
		}
		at = i
	}
	return at, nil
}

// single is the cell of a named column of single values, -1 if there is none.
func (t *table) single(name, what string) (int, error) {
	i, err := t.find(name)
	if i < 0 || err != nil {
		return -1, err
	}
	if t.columns[i].Size > 0 {
		return -1, fmt.Errorf("column %q of the %s holds lists", name, what)
	}
	if t.columns[i].Reject != "" {
		return -1, fmt.Errorf("column %q of the %s %s", name, what, t.columns[i].Reject)
	}
	return t.start[i], nil
}

// lacks says that there is no such column, and which one may have been meant.
func (t *table) lacks(names ...string) error {
	has := make([]string, len(t.columns))
	for i, c := range t.columns {
		has[i] = c.Name
	}
	var near []string
	for _, n := range names {
		free := slices.DeleteFunc(slices.Clone(has), func(h string) bool { return h == "" || t.wanted(h) })
		if best := registry.Nearest(n, free); best != "" && !slices.Contains(near, strconv.Quote(best)) {
			near = append(near, strconv.Quote(best))
		}
	}
	what := "no column "
	if len(names) > 1 {
		what = "no columns "
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.Quote(n)
	}
	meant := "; it has "
	if len(near) > 0 {
		meant = "; did you mean " + list(near) + "? it has "
	}
	return errors.New(what + list(quoted) + meant + list(has))
}

// wanted reports whether a column of that name has a use.
func (t *table) wanted(name string) bool {
	return name == t.schema.Label || name == t.schema.ID ||
		slices.ContainsFunc(t.schema.Features, func(f Feature) bool { return f.Name == name })
}

// list writes names, many of them cut short.
func list(names []string) string {
	const most = 20
	shown := make([]string, min(len(names), most))
	for i := range shown {
		shown[i] = Shown(names[i])
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(shown, ", "), len(names)-most)
	}
	return strings.Join(shown, ", ")
}

// Shown is a name of a file's as it stands in a message: as it is, or where it holds
// what is not printed in quotes, and cut where it is long.
func Shown(name string) string {
	const most = 200
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	if quoted := strconv.Quote(name); len(quoted) != len(name)+2 {
		for _, r := range name {
			if !strconv.IsPrint(r) || r == utf8.RuneError {
				return quoted
			}
		}
	}
	return name
}

// column names the column of a cell for errors.
func (t *table) column(cell int) string {
	if !t.Header() {
		return Numbered(cell)
	}
	return fmt.Sprintf("column %q", t.cellName(cell))
}

// cellName is the name of a cell's column; with its place where that holds
// lists, and its number where there are no names.
func (t *table) cellName(cell int) string {
	if !t.Header() {
		return strconv.Itoa(cell)
	}
	i := sort.SearchInts(t.start, cell+1) - 1
	if c := t.columns[i]; c.Size > 0 {
		return fmt.Sprintf("%s[%d]", c.Name, cell-t.start[i])
	}
	return t.columns[i].Name
}

// names are those of the schema's features.
func (t *table) names() []string {
	out := make([]string, len(t.schema.Features))
	for i, f := range t.schema.Features {
		out[i] = f.Name
	}
	return out
}

// add makes a feature of a cell.
func (t *table) add(column, cell int, f Feature) error {
	c := t.columns[column]
	if c.Reject != "" {
		return fmt.Errorf("column %q %s, want numbers; data.columns: {%s: {ignore: true}} leaves it out", c.Name, c.Reject, yamlKey(c.Name))
	}
	if c.Kind == CellText && f.Kind != KindCategory {
		return fmt.Errorf("column %q holds text, want numbers%s", c.Name, waysOut(c.Name))
	}
	t.fields = append(t.fields, newField(cell, f))
	return nil
}

// byPosition matches the columns of a file without names.
func (t *table) byPosition(label string, o ReadOptions) error {
	features := t.schema.Features
	known := len(features)
	if features == nil && o.Example != nil && t.schema.Rules == nil {
		known = o.Example.Size()
	}
	place := func(name string) int { // the number of a column, -1 if it is none
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && name != "" {
			return i
		}
		return -1
	}
	t.label, t.id = place(label), place(t.schema.ID)
	if t.label >= 0 && !t.asked && t.width == known { // new rows, of which nobody knows the label
		t.label, label = -1, ""
	}
	if known > 0 {
		t.width = known
		if t.label >= 0 {
			t.width++
		}
		if t.id >= 0 && t.id != t.label {
			t.width++
		}
	}
	if label != "" && (t.label >= t.width || t.label < 0 && t.asked) {
		return fmt.Errorf("has no header: want the label column's number, 0 to %d, got %q", t.width-1, label)
	}
	if id := t.schema.ID; id != "" && (t.id >= t.width || t.id < 0 && (features == nil || t.schema.AskedID)) {
		return fmt.Errorf("has no header: want the id column's number, 0 to %d, got %q", t.width-1, id)
	}
	for _, k := range t.schema.Keep {
		i := place(k)
		if i < 0 || i >= t.width {
			return fmt.Errorf("has no header: want the number of a column to keep, 0 to %d, got %q", t.width-1, k)
		}
		t.keep = append(t.keep, i)
	}
	for name := range t.schema.Rules {
		if i := place(name); features == nil && (i < 0 || i >= t.width) {
			return fmt.Errorf("has no header: want a column's number for data.columns, 0 to %d, got %q", t.width-1, name)
		}
	}
	for cell := range t.width {
		if cell == t.label || cell == t.id {
			continue
		}
		if features != nil {
			t.place(cell, features[len(t.fields)])
			continue
		}
		rule := t.schema.Rules[strconv.Itoa(cell)]
		if rule.Ignore {
			continue
		}
		name := ""
		if t.schema.Rules != nil { // which call columns by their numbers
			name = strconv.Itoa(cell)
		}
		f := rule.feature(name)
		t.schema.Features = append(t.schema.Features, f)
		t.place(cell, f)
	}
	return nil
}

// place makes a feature of a cell of rows that have no names: as in arrays a number may
// then be the code of a word.
func (t *table) place(cell int, f Feature) {
	of := newField(cell, f)
	if of.of != nil {
		of.of.places = true
	}
	t.fields = append(t.fields, of)
}
