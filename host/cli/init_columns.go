package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/spec"
)

// column is what was seen of a column of a table.
type column struct {
	name     string
	values   map[string]int // different ones, as far as they are counted
	words    int            // cells that are no numbers
	missing  int
	rows     int
	counting bool // each is one more than the last
	last     float64

	ignored    bool
	categories []string // nil: numbers
	why        string
}

const (
	maxCategories = 32      // of a column of words
	maxValues     = 100_000 // that are told apart
	leastCounting = 8       // rows that make a column one that counts
)

// lookTable looks at the columns of a table.
func (d *draft) lookTable(t *dataset.Schema) error {
	if len(t.Features) == 0 || t.Features[0].Name == "" {
		return d.askLabel(nil)
	}
	var names []string
	for _, f := range t.Features {
		if strings.HasSuffix(f.Name, "]") { // an entry of a column of lists: numbers
			return d.askLabel(names)
		}
		names = append(names, f.Name)
	}
	if err := d.askLabel(names); err != nil {
		return err
	}
	yes := true
	s, err := d.open(&dataset.Schema{Features: []dataset.Feature{{Name: names[0], Missing: true}}, Keep: names}, &yes)
	if err != nil {
		return d.explain(err)
	}
	d.columns = make([]column, len(names))
	for i, n := range names {
		d.columns[i] = column{name: n, values: map[string]int{}, counting: true}
	}
	row := make([]float32, 1)
	for range initRows {
		err := s.ReadRow(row)
		var bad *dataset.RowError
		if errors.Is(err, io.EOF) {
			break
		}
		kept := s.Trace().Kept
		if err != nil && (!errors.As(err, &bad) || len(kept) != len(names)) {
			return errors.Join(d.explain(err), s.Close())
		}
		for i := range kept {
			d.columns[i].see(kept[i])
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	d.judge()
	return nil
}

// askLabel asks which column holds the classes, where that is not said.
func (d *draft) askLabel(names []string) (err error) {
	if d.label != "" {
		return nil
	}
	shown := strings.Join(names[:min(len(names), 40)], ", ")
	if d.interactive {
		if d.label, err = d.ask("column of the classes (" + shown + "):"); err != nil {
			return err
		}
	}
	if d.label == "" {
		return usagef("--label is missing: which column holds the classes? The columns are %s", shown)
	}
	if names != nil && !slices.Contains(names, d.label) {
		return usagef("--label: there is no column %q; the columns are %s", d.label, shown)
	}
	return nil
}

// see takes a cell.
func (c *column) see(cell dataset.Cell) {
	c.rows++
	text := strings.TrimSpace(cell.Text)
	v, number := cell.Number, cell.Kind == dataset.CellNumber
	if cell.Kind == dataset.CellText {
		var err error
		if v, err = strconv.ParseFloat(text, 64); err == nil {
			number = true
		}
	}
	switch {
	case cell.Kind == dataset.CellMissing || !number && dataset.IsMissing(text) || v != v:
		c.missing++
		c.counting = false
		return
	case !number:
		c.words++
		c.counting = false
	case c.rows > 1 && v != c.last+1:
		c.counting = false
	}
	c.last = v
	if number && text == "" {
		text = strconv.FormatFloat(v, 'g', -1, 64)
	}
	if len(c.values) < maxValues {
		c.values[text]++
	}
}

// judge says what each column is.
func (d *draft) judge() {
	for i := range d.columns {
		c := &d.columns[i]
		single := len(c.values) == c.rows && c.missing == 0
		switch {
		case c.name == d.label || c.name == d.id:
		case slices.Contains(d.ignore, c.name):
			c.ignored, c.why = true, "left out as asked"
		case c.counting && c.rows >= leastCounting || c.words > 0 && single && c.rows > maxCategories:
			if d.id == "" {
				d.id = c.name
				continue
			}
			c.ignored, c.why = true, "another value in every row"
		case c.words > 0 && len(c.values) <= maxCategories && len(c.values) > 1:
			for v := range c.values {
				c.categories = append(c.categories, v)
			}
			slices.SortFunc(c.categories, byNumber)
		case c.words > 0:
			c.ignored, c.why = true, fmt.Sprintf("%d different words in %d rows", len(c.values), c.rows)
		case c.missing == c.rows:
			c.ignored, c.why = true, "no row has a value"
		}
	}
}

// features are the columns that are neither label nor id nor left out.
func (d *draft) features() []column {
	var out []column
	for _, c := range d.columns {
		if c.name != d.label && c.name != d.id && !c.ignored {
			out = append(out, c)
		}
	}
	return out
}

// width is how many numbers the columns become.
func (d *draft) width() int {
	n := 0
	for _, c := range d.features() {
		n += max(1, len(c.categories))
	}
	return n
}

// rules are those of the columns, for reading.
func (d *draft) rules() map[string]dataset.ColumnRule {
	out := map[string]dataset.ColumnRule{}
	for _, c := range d.columns {
		if c.name == d.label || c.name == d.id || !c.ignored && c.categories == nil && c.missing == 0 {
			continue
		}
		out[c.name] = dataset.ColumnRule{Ignore: c.ignored, Categories: c.categories, Missing: c.missing > 0}
	}
	return out
}

// columnLines are data.columns.
func (d *draft) columnLines() []commented {
	var out []commented
	for _, c := range d.columns {
		var keys []string
		why := c.why
		switch {
		case c.name == d.label || c.name == d.id:
			continue
		case c.ignored:
			keys = append(keys, "ignore: true")
		case c.categories != nil:
			keys = append(keys, "categories: "+flow(c.categories))
			if c.missing > 0 {
				keys = append(keys, "missing: most_frequent")
			}
		case c.missing > 0:
			keys = append(keys, "missing: median")
		default:
			continue
		}
		if !c.ignored && c.missing > 0 {
			why = fmt.Sprintf("no value in %d of %d rows", c.missing, c.rows)
		}
		out = append(out, commented{spec.Text(c.name) + ": {" + strings.Join(keys, ", ") + "}", why})
	}
	return out
}
