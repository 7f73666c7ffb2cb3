package dataset

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// NewTable reads the rows of a table as o.Schema says what its columns are
// for; without one all are numbers but the label. It is what formats of tables
// give their Records to. The result is Tabled, Traced, Featured and RowLabels,
// and closes r; where there is an error the caller does.
//
// Where the file has names, columns go by them: in any order, the label and the
// id taken out, indices that pandas writes left out. A feature that the file
// lacks is an error. Where it has none they go by position, and a row of another
// number of columns is that row's fault: of len(Features) ones, and one more for
// a label or id that is named by its number; of the Example wanted; or else of
// the first record's.
//
// Where neither Features nor Rules are known and o.Example is, what has names
// may hold arrays: a column of lists called x is then the row, and only what
// Keep, the label and the id name is taken besides.
func NewTable(r Records, name string, o ReadOptions) (Reader, error) {
	t := &table{Records: r, name: name, label: -1, id: -1, array: -1}
	if o.Schema != nil {
		t.schema = *o.Schema
	}
	t.lined, _ = r.(Lined)
	t.noticing, _ = r.(Noticing)
	if err := t.match(o); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if r, ok := r.(NumberRecords); ok && t.bare() {
		t.numbers = r
	}
	return t, nil
}

// bare reports whether a row is all cells of a record in their order, any numbers.
func (t *table) bare() bool {
	if t.label >= 0 || t.id >= 0 || len(t.keep) > 0 || len(t.fields) != t.width {
		return false
	}
	for k, f := range t.fields {
		if f.cell != k || f.of != nil {
			return false
		}
	}
	return true
}

// table makes rows of Records.
type table struct {
	Records
	lined    Lined         // Records, if they have lines; else nil
	noticing Noticing      // likewise
	numbers  NumberRecords // Records, if they are and t is bare; else nil
	name     string
	schema   Schema
	columns  []Column
	start    []int // first cell of each column
	width    int   // cells of a record
	fields   []field
	label    int  // cell of the label; -1: none
	required bool // every row has a label
	asked    bool // there is a column of labels
	id       int  // cell; -1: none
	keep     []int
	array    int // column of lists that is the row; -1: none
	notices  []string
	row      int // rows read
	text     string
	trace    Trace
}

var (
	_ Tabled    = (*table)(nil)
	_ Traced    = (*table)(nil)
	_ Featured  = (*table)(nil)
	_ RowLabels = (*table)(nil)
	_ Imaged    = (*table)(nil)
	_ Batched   = (*table)(nil)
	_ Divided   = (*table)(nil)
	_ Coded     = (*table)(nil)
)

// Example implements Reader.
func (t *table) Example() tensor.Shape {
	if t.array >= 0 && t.columns[t.array].Shape != nil {
		return t.columns[t.array].Shape
	}
	return tensor.Shape{len(t.fields)}
}

// White implements Imaged: it is known of the bytes of an array's column.
func (t *table) White() float64 {
	if t.array >= 0 && t.columns[t.array].Bytes {
		return 255
	}
	return 0
}

// Coded implements Coded.
func (t *table) Coded() bool { return true }

// MarkBatches implements Batched.
func (t *table) MarkBatches() bool {
	b, ok := t.Records.(interface{ MarkBatches() bool })
	return ok && b.MarkBatches()
}

// Kept are the kinds of the columns of Schema.Keep, CellMissing where the cells
// tell; CellInteger and CellUnsigned are of columns of whole numbers of 64 bits.
func (t *table) Kept() []CellKind {
	out := make([]CellKind, len(t.keep))
	for i, cell := range t.keep {
		if t.Header() {
			c := t.columns[sort.SearchInts(t.start, cell+1)-1]
			if out[i] = c.Kind; c.Whole != 0 {
				out[i] = c.Whole
			}
		}
	}
	return out
}

// Label implements RowLabels.
func (t *table) Label() string { return t.text }

// Classes implements RowLabels: labels tell.
func (t *table) Classes() []string { return nil }

// Schema implements Tabled.
func (t *table) Schema() Schema { return t.schema }

// Notices implements Tabled.
func (t *table) Notices() []string {
	if t.noticing == nil {
		return t.notices
	}
	return slices.Concat(t.noticing.Notices(), t.notices)
}

// Trace implements Traced.
func (t *table) Trace() Trace { return t.trace }

// Features implements Featured: nil where columns have no names, or hold lists.
func (t *table) Features() []string {
	if !t.Header() {
		return nil
	}
	for _, c := range t.columns {
		if c.Size > 0 {
			return nil
		}
	}
	names := make([]string, len(t.schema.Features))
	for i, f := range t.schema.Features {
		names[i] = f.Name
	}
	return names
}

// Next implements Reader.
func (t *table) Next(dst []float32) error {
	t.text, t.trace = "", Trace{Kept: t.trace.Kept[:0]}
	if t.numbers != nil {
		ok, err := t.numbers.Numbers(dst)
		if err != nil {
			return err
		}
		if ok {
			t.row++
			return t.finite(dst)
		}
	}
	cells, err := t.Record()
	if err != nil {
		var bad *RowError
		if errors.As(err, &bad) {
			t.row++
		}
		return err
	}
	t.row++
	if len(cells) != t.width {
		return t.bad(t.unfit(len(cells)))
	}
	if t.id >= 0 {
		t.trace.ID = cells[t.id].name()
	}
	for _, i := range t.keep {
		t.trace.Kept = append(t.trace.Kept, cells[i])
	}
	if t.label >= 0 {
		text := cells[t.label].name()
		if t.text = text; t.schema.isNone(text) {
			t.text = ""
		}
		switch {
		case t.text != "" || !t.required:
		case text != "":
			return t.bad(fmt.Errorf("%s: %.40q: no label; data.classes lists it if it is a class", t.column(t.label), text))
		default:
			return t.bad(fmt.Errorf("%s: no label", t.column(t.label)))
		}
	}
	for k := range t.fields {
		f := &t.fields[k]
		if dst[k], err = f.value(&cells[f.cell]); err != nil {
			return t.bad(fmt.Errorf("%s: %w", t.column(f.cell), t.advise(err, f)))
		}
	}
	return nil
}

// finite refuses numbers that are not, as fields do.
func (t *table) finite(row []float32) error {
	for k, v := range row {
		if v-v != 0 {
			f := &t.fields[k]
			_, err := f.value(&Cell{Kind: CellNumber, Number: float64(v)})
			return t.bad(fmt.Errorf("%s: %w", t.column(f.cell), t.advise(err, f)))
		}
	}
	return nil
}

func (t *table) bad(err error) error {
	if t.lined != nil {
		err = fmt.Errorf("line %d: %w", t.lined.Line(), err)
	}
	return &RowError{Source: t.name, Row: t.row - 1, Err: err}
}

// unfit says that a record of n cells is none of the table.
func (t *table) unfit(n int) error {
	if t.Header() || len(t.schema.Features) == 0 || t.schema.Features[0].Name == "" {
		return fmt.Errorf("%d columns, want %d", n, t.width)
	}
	return fmt.Errorf("%d columns, want %d: %s", n, t.width, list(t.names()))
}
