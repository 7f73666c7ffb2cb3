package formats

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/builtin/formats/parquet"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
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
	f, err := dataset.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := newParquetRows(f, info.Size(), path, o.Label)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.closer = f
	return r, nil
}

// ReadLabels implements dataset.LabelFormat: a table whose only column is the
// label.
func (f Parquet) ReadLabels(path, _ string, _ int) (a dataset.Array, err error) {
	r, err := f.Open(path, dataset.ReadOptions{})
	if err != nil {
		return dataset.Array{}, err
	}
	d, err := dataset.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return dataset.Array{}, dataset.Named(path, err)
	}
	if n := d.X.Stride(); n != 1 {
		return dataset.Array{}, fmt.Errorf("%s: %d columns, want one of labels", path, n)
	}
	return dataset.Array{Shape: d.X.Shape[:1], Data: d.X.Data}, nil
}

// parquetRows streams a table: one number per column, or all numbers of columns
// that hold lists, in the order of the schema; by choice one column of labels.
type parquetRows struct {
	name     string
	file     io.ReaderAt
	closer   io.Closer // of the file; nil: none
	size     int64
	table    *parquet.Table
	labelCol int
	text     string
	shape    tensor.Shape
	pending  []parquet.Cell // the first row, read for its width
	read     int
}

func newParquetRows(file io.ReaderAt, size int64, name, label string) (*parquetRows, error) {
	table, err := parquet.Open(file, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &parquetRows{name: name, file: file, size: size, table: table, labelCol: -1}
	if err := r.open(label); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

func (r *parquetRows) open(label string) error {
	columns := r.table.Columns()
	if label != "" {
		r.labelCol = slices.IndexFunc(columns, func(c parquet.Column) bool { return c.Name == label })
		if r.labelCol < 0 {
			return fmt.Errorf("no column %q; it has %s", label, names(columns))
		}
	}
	lists := false
	width := 0
	for i, c := range columns {
		if c.Reject != "" {
			return fmt.Errorf("column %q %s, want numbers", c.Name, c.Reject)
		}
		if i == r.labelCol {
			if c.List {
				return fmt.Errorf("column %q of the labels holds lists", c.Name)
			}
			continue
		}
		if c.Text {
			return fmt.Errorf("column %q holds text, want numbers", c.Name)
		}
		lists = lists || c.List
		width++
	}
	if lists {
		first, err := r.table.Next()
		if err != nil && !isEOF(err) {
			return err
		}
		r.pending = slices.Clone(first)
		width = 0
		for _, cell := range first {
			if cell.Column != r.labelCol {
				width++
			}
		}
	}
	if width == 0 {
		return errors.New("no column other than the labels")
	}
	r.shape = tensor.Shape{width}
	return nil
}

func names(columns []parquet.Column) string {
	var out []string
	for _, c := range columns {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}

var (
	_ dataset.RowLabels = (*parquetRows)(nil)
	_ dataset.Featured  = (*parquetRows)(nil)
)

func (r *parquetRows) Example() tensor.Shape { return r.shape }
func (r *parquetRows) Count() int            { return int(r.table.NumRows()) }
func (r *parquetRows) Label() string         { return r.text }
func (r *parquetRows) Classes() []string     { return nil }

func (r *parquetRows) Close() error {
	err := r.table.Close()
	if r.closer != nil {
		err = errors.Join(err, r.closer.Close())
	}
	return err
}

func (r *parquetRows) Features() []string {
	var out []string
	for i, c := range r.table.Columns() {
		if c.List {
			return nil
		}
		if i != r.labelCol {
			out = append(out, c.Name)
		}
	}
	return out
}

// parts hashes the whole file: its rows are not read in order of its bytes.
func (r *parquetRows) Parts() []dataset.Part {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r.file, 0, r.size)); err != nil {
		return nil
	}
	return []dataset.Part{{Digest: hex.EncodeToString(h.Sum(nil)), Rows: r.read}}
}

func (r *parquetRows) Next(dst []float32) error {
	cells := r.pending
	if r.pending = nil; cells == nil {
		var err error
		cells, err = r.table.Next()
		if isEOF(err) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("%s: row %d: %w", r.name, r.read, err)
		}
	}
	r.read++
	k := 0
	for _, c := range cells {
		column := r.table.Columns()[c.Column]
		if c.Null {
			return r.bad(fmt.Errorf("column %q has no value", column.Name))
		}
		if c.Column == r.labelCol {
			if r.text = c.Text; !column.Text {
				r.text = strconv.FormatFloat(c.Number, 'g', -1, 64)
			}
			continue
		}
		if k == len(dst) {
			return r.bad(fmt.Errorf("more than %d numbers, as the first row has", k))
		}
		v := float32(c.Number)
		if v-v != 0 {
			return r.bad(fmt.Errorf("column %q is %v, want finite numbers of float32", column.Name, c.Number))
		}
		dst[k] = v
		k++
	}
	if k < len(dst) {
		return r.bad(fmt.Errorf("%d numbers, the first row has %d", k, len(dst)))
	}
	return nil
}

func (r *parquetRows) bad(err error) error {
	return &dataset.RowError{Source: r.name, Row: r.read - 1, Err: err}
}
