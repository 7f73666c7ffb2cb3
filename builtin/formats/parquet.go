package formats

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/vaeguard/vaeguard/builtin/formats/parquet"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// Parquet is a table of Apache Parquet, read column chunk by column chunk.
type Parquet struct{}

var _ dataset.LabelFormat = Parquet{}

// Traits implements dataset.Format.
func (Parquet) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".parquet"}, Magic: []string{"PAR1"}, Table: true}
}

// Open implements dataset.Format.
func (Parquet) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	r, err := openParquet(path, o)
	if err != nil {
		return nil, err
	}
	t, err := dataset.NewTable(r, path, o)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return t, nil
}

func openParquet(path string, o dataset.ReadOptions) (*parquetRecords, error) {
	f, err := dataset.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := newParquetRecords(f, info.Size(), path, o)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.closer = f
	return r, nil
}

// ReadLabels implements dataset.LabelFormat: a table whose only column, but for
// indices, is the label.
func (Parquet) ReadLabels(path, _ string, n int) (a dataset.Array, err error) {
	r, err := openParquet(path, dataset.ReadOptions{})
	if err != nil {
		return dataset.Array{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return columnOfLabels(r, path, n)
}

// parquetRecords are the records of a table: one number per column, or all
// numbers of columns that hold lists, in the order of the schema.
type parquetRecords struct {
	name    string
	file    io.ReaderAt
	closer  io.Closer // of the file; nil: none
	size    int64
	table   *parquet.Table
	columns []dataset.Column
	pending []parquet.Cell // the first row, read for its lists
	units   []int          // rows of the row groups
	read    int
	cells   []dataset.Cell
}

func newParquetRecords(file io.ReaderAt, size int64, name string, o dataset.ReadOptions) (*parquetRecords, error) {
	table, err := parquet.Open(file, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &parquetRecords{name: name, file: file, size: size, table: table}
	for _, n := range table.Groups() {
		r.units = append(r.units, int(n))
	}
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
		column := dataset.Column{Name: c.Name, Kind: kind, Whole: wholeKind(c.Whole, c.Unsigned), Bytes: c.Bytes, Index: slices.Contains(index, c.Name), Reject: c.Reject}
		if c.List {
			column.Size = o.ListSize(c.Name)
			lists = lists || column.Size == 0
		}
		r.columns = append(r.columns, column)
	}
	if lists {
		if err := r.sizes(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

// wholeKind is that of a column of whole numbers of 64 bits, 0 of others.
func wholeKind(whole, unsigned bool) dataset.CellKind {
	switch {
	case !whole:
		return 0
	case unsigned:
		return dataset.CellUnsigned
	}
	return dataset.CellInteger
}

// sizes finds how long lists are of which the options do not tell it: as in the
// first row.
func (r *parquetRecords) sizes() error {
	first, err := r.table.Next()
	if err != nil && !isEOF(err) {
		return err
	}
	r.pending = slices.Clone(first)
	for i, c := range r.table.Columns() {
		if !c.List || r.columns[i].Size > 0 {
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

func (r *parquetRecords) Columns() []dataset.Column { return r.columns }
func (r *parquetRecords) Header() bool              { return true }
func (r *parquetRecords) Count() int                { return int(r.table.NumRows()) }

func (r *parquetRecords) Close() error {
	err := r.table.Close()
	if r.closer != nil {
		err = errors.Join(err, r.closer.Close())
	}
	return err
}

// Units are the rows of the row groups: dataset.Divided.
func (r *parquetRecords) Units() []int { return r.units }

// Skip is that of dataset.Skipper: whole row groups are not read.
func (r *parquetRecords) Skip(n int) (int, error) {
	for skipped := 0; ; {
		groups := r.table.Groups()
		if r.pending == nil && len(groups) > 0 && groups[0] <= int64(n-skipped) {
			done, err := r.table.SkipGroup()
			if err != nil {
				return skipped, fmt.Errorf("%s: row %d: %w", r.name, r.read, err)
			}
			if done {
				skipped += int(groups[0])
				r.read += int(groups[0])
				continue
			}
		}
		if skipped == n {
			return n, nil
		}
		_, err := r.Record()
		if isEOF(err) {
			return skipped, nil
		}
		var bad *dataset.RowError
		if err != nil && !errors.As(err, &bad) {
			return skipped, err
		}
		skipped++
	}
}

// Parts hashes the whole file: its rows are not read in order of its bytes.
func (r *parquetRecords) Parts() []dataset.Part {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r.file, 0, r.size)); err != nil {
		return nil
	}
	return []dataset.Part{{Digest: hex.EncodeToString(h.Sum(nil)), Rows: r.read}}
}

// Record implements dataset.Records.
func (r *parquetRecords) Record() ([]dataset.Cell, error) {
	cells := r.pending
	if r.pending = nil; cells == nil {
		var err error
		cells, err = r.table.Next()
		if isEOF(err) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, fmt.Errorf("%s: row %d: %w", r.name, r.read, err)
		}
	}
	r.read++
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
			return nil, r.bad(fmt.Errorf("column %q has %d numbers, want %d", c.Name, n, want))
		}
		for _, v := range of {
			r.cells = append(r.cells, parquetCell(v, c))
		}
	}
	if len(cells) > 0 {
		return nil, r.bad(errors.New("values out of the columns' order"))
	}
	return r.cells, nil
}

func parquetCell(v parquet.Cell, c dataset.Column) dataset.Cell {
	switch {
	case v.Null || c.Reject != "":
		return dataset.Cell{}
	case c.Kind == dataset.CellText:
		return dataset.Cell{Kind: dataset.CellText, Text: v.Text}
	}
	return dataset.Cell{Kind: dataset.CellNumber, Number: v.Number, Text: v.Text}
}

func (r *parquetRecords) bad(err error) error {
	return &dataset.RowError{Source: r.name, Row: r.read - 1, Err: err}
}

// pandasIndex are the columns that pandas' metadata names as index.
func pandasIndex(metadata string) []string {
	var m struct {
		Columns []any `json:"index_columns"`
	}
	if metadata == "" || json.Unmarshal([]byte(metadata), &m) != nil {
		return nil
	}
	var out []string
	for _, c := range m.Columns {
		if name, ok := c.(string); ok { // others are ranges, which no column holds
			out = append(out, name)
		}
	}
	return out
}

// maxLabels bounds the labels of one file.
const maxLabels = 1 << 27

// columnOfLabels reads the only column of r that is no index, n rows of it; n <
// 0: all.
func columnOfLabels(r dataset.Records, name string, n int) (dataset.Array, error) {
	at := -1
	cell := 0
	for _, c := range r.Columns() {
		if !c.Index && !dataset.IsIndexName(c.Name) {
			switch {
			case at >= 0:
				return dataset.Array{}, fmt.Errorf("%s: %d columns, want one of labels", name, len(r.Columns()))
			case c.Reject != "" || c.Size > 0:
				return dataset.Array{}, fmt.Errorf("%s: column %q holds neither numbers nor text, want labels", name, c.Name)
			}
			at = cell
		}
		cell += max(c.Size, 1)
	}
	if at < 0 {
		return dataset.Array{}, fmt.Errorf("%s: no column of labels", name)
	}
	if n < 0 {
		n = maxLabels
	}
	var numbers []float64
	var texts []string
	for row := 0; ; row++ {
		cells, err := r.Record()
		if isEOF(err) {
			break
		}
		switch {
		case err != nil:
			return dataset.Array{}, dataset.Named(name, err)
		case row >= n:
			return dataset.Array{}, fmt.Errorf("%s: more than %d labels", name, n)
		case cells[at].Kind == dataset.CellMissing:
			return dataset.Array{}, fmt.Errorf("%s: row %d: no label", name, row)
		case cells[at].Kind == dataset.CellText:
			texts = append(texts, cells[at].Text)
		default:
			numbers = append(numbers, cells[at].Number)
		}
	}
	if texts != nil && numbers == nil {
		return dataset.Array{Shape: []int{len(texts)}, Data: texts}, nil
	}
	return dataset.Array{Shape: []int{len(numbers)}, Data: numbers}, nil
}
