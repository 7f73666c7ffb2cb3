package formats

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/builtin/formats/arrow"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// Arrow is a table in Apache Arrow's IPC format: a file, which is also Feather
// of version 2, or a stream.
type Arrow struct{}

var (
	_ dataset.StreamFormat = Arrow{}
	_ dataset.LabelFormat  = Arrow{}
)

// Traits implements dataset.Format.
func (Arrow) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".arrow", ".arrows", ".feather"}, Magic: []string{arrow.Magic, arrow.Continuation}, Table: true}
}

// Open implements dataset.Format.
func (f Arrow) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return dataset.OpenStreamed(f, path, o)
}

// Stream implements dataset.StreamFormat.
func (Arrow) Stream(c *dataset.Content, o dataset.ReadOptions) (dataset.Reader, error) {
	r, err := newArrowRecords(c, o)
	if err != nil {
		return nil, err
	}
	t, err := dataset.NewTable(r, c.Name, o)
	if err != nil {
		return nil, errors.Join(err, r.table.Close())
	}
	return t, nil
}

// ReadLabels implements dataset.LabelFormat: a table whose only column, but for
// indices, is the label.
func (Arrow) ReadLabels(path, _ string, n int) (a dataset.Array, err error) {
	c, err := dataset.OpenContent(path)
	if err != nil {
		return dataset.Array{}, err
	}
	r, err := newArrowRecords(c, dataset.ReadOptions{})
	if err != nil {
		return dataset.Array{}, errors.Join(err, c.Close())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return columnOfLabels(r, path, n)
}

// arrowRecords are the records of a table in Arrow's IPC format.
type arrowRecords struct {
	*dataset.Content
	table   *arrow.Table
	columns []dataset.Column
	pending []arrow.Cell // the first row, read for its lists
	owed    int          // batches without rows before it
	marks   bool         // Record tells where batches end
	cells   []dataset.Cell
	width   []int // cells of each column
}

// MarkBatches makes Record say where batches end: dataset.Batched.
func (r *arrowRecords) MarkBatches() bool {
	r.marks = true
	return true
}

func newArrowRecords(c *dataset.Content, o dataset.ReadOptions) (*arrowRecords, error) {
	table, err := arrow.Open(c.Reader, c.Most())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	r := &arrowRecords{Content: c, table: table}
	index := pandasIndex(table.Metadata("pandas"))
	lists := false
	for i, c := range table.Columns() {
		if c.Binary && c.Name == dataset.ArrayColumn && o.ListSize(c.Name) > 0 {
			table.AsBytes(i)
			c = table.Columns()[i]
		}
		kind := dataset.CellNumber
		if c.Text {
			kind = dataset.CellText
		}
		column := dataset.Column{Name: c.Name, Kind: kind, Whole: wholeKind(c.Whole, c.Unsigned), Size: c.Size, Shape: c.Shape, Bytes: c.Bytes, Index: slices.Contains(index, c.Name), Reject: c.Reject}
		if c.List && c.Reject == "" {
			column.Size = o.ListSize(c.Name)
			lists = lists || column.Size == 0
		}
		r.columns = append(r.columns, column)
	}
	if lists {
		if err := r.sizes(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.Name, err), table.Close())
		}
	}
	return r, nil
}

// sizes finds how long lists are of which the options do not tell it: as in the
// first row.
func (r *arrowRecords) sizes() error {
	first, err := r.table.Next()
	for errors.Is(err, arrow.ErrBatchEnd) {
		r.owed++
		first, err = r.table.Next()
	}
	if err != nil && !isEOF(err) {
		return err
	}
	if err == nil {
		r.pending = append([]arrow.Cell{}, first...) // none of an empty list are a row too
	}
	for i, c := range r.table.Columns() {
		if !c.List || c.Reject != "" || r.columns[i].Size > 0 {
			continue
		}
		n := 0
		for _, cell := range first {
			if cell.Column == i {
				n++
			}
		}
		r.columns[i].Size = max(n, 1)
	}
	return nil
}

func (r *arrowRecords) Columns() []dataset.Column { return r.columns }
func (r *arrowRecords) Header() bool              { return true }
func (r *arrowRecords) Count() int                { return -1 }

func (r *arrowRecords) Close() error { return errors.Join(r.table.Close(), r.Content.Close()) }

// Numbers implements dataset.NumberRecords.
func (r *arrowRecords) Numbers(dst []float32) (bool, error) {
	if r.pending != nil || r.owed > 0 && r.marks {
		return false, nil
	}
	if r.width == nil {
		for _, c := range r.columns {
			r.width = append(r.width, max(c.Size, 1))
		}
	}
	ok, err := r.table.Numbers(dst, r.width)
	switch {
	case isEOF(err):
	case err != nil:
		err = fmt.Errorf("%s: row %d: %w", r.Name, r.Row, err)
	case ok:
		r.Row++
	}
	return ok, err
}

// Record implements dataset.Records.
func (r *arrowRecords) Record() ([]dataset.Cell, error) {
	if r.owed > 0 && r.marks {
		r.owed--
		return nil, dataset.ErrBatchEnd
	}
	cells := r.pending
	if r.pending = nil; cells == nil {
		var err error
		cells, err = r.table.Next()
		for errors.Is(err, arrow.ErrBatchEnd) {
			if r.marks {
				return nil, dataset.ErrBatchEnd
			}
			cells, err = r.table.Next()
		}
		if isEOF(err) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("%s: row %d: %w", r.Name, r.Row, err)
		}
	}
	r.Row++
	r.cells = r.cells[:0]
	for i, c := range r.columns {
		n := 0
		for n < len(cells) && cells[n].Column == i {
			n++
		}
		of := cells[:n]
		cells = cells[n:]
		want := max(c.Size, 1)
		if n == 1 && of[0].Null {
			r.cells = append(r.cells, make([]dataset.Cell, want)...) // also a list without a value
			continue
		}
		if n != want {
			return nil, &dataset.RowError{Source: r.Name, Row: r.Row - 1, Err: fmt.Errorf("column %q has %d numbers, want %d", c.Name, n, want)}
		}
		for _, v := range of {
			cell := dataset.Cell{Kind: c.Kind, Number: v.Number, Text: v.Text}
			if v.Null {
				cell = dataset.Cell{}
			}
			r.cells = append(r.cells, cell)
		}
	}
	return r.cells, nil
}
