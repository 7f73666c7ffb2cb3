package formats

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// CSV is text in rows and columns of numbers.
type CSV struct{}

var (
	_ dataset.StreamFormat = CSV{}
	_ dataset.LabelFormat  = CSV{}
)

// Traits implements dataset.Format.
func (CSV) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".csv", ".tsv"}, Table: true}
}

// Open implements dataset.Format.
func (f CSV) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return dataset.OpenStreamed(f, path, o)
}

// Stream implements dataset.StreamFormat.
func (CSV) Stream(c *dataset.Content, o dataset.ReadOptions) (dataset.Reader, error) {
	return newCSVRows(c, o.Label)
}

// ReadLabels implements dataset.LabelFormat: one label per line. A first line
// that is one more than the n wanted, or where n is unknown the only one that
// is not a number, is a header.
func (CSV) ReadLabels(path, _ string, n int) (a dataset.Array, err error) {
	c, err := dataset.OpenContent(path)
	if err != nil {
		return dataset.Array{}, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	r := csv.NewReader(&recordLimit{r: c.Reader, left: 1 << 30})
	r.FieldsPerRecord = 1
	r.TrimLeadingSpace = true
	var out []string
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return dataset.Array{}, fmt.Errorf("%s: want one label per line: %w", path, err)
		}
		out = append(out, strings.TrimSpace(record[0]))
	}
	if len(out) > 1 && (len(out) == n+1 || n < 0 && !dataset.IsClass(out[0]) && dataset.IsClass(out[1])) {
		out = out[1:]
	}
	return dataset.Array{Shape: []int{len(out)}, Data: out}, nil
}

// csvRows streams a table of numbers with, by choice, one column of labels.
// The separator is the comma, or the semicolon or tab if the first line has
// no comma. The first record is a header if the label's name (no number) stands
// in it, or if none of its cells is a number.
type csvRows struct {
	*dataset.Content
	csv      *csv.Reader
	limit    *recordLimit
	first    []string // the first record, if it is data
	names    []string // of all columns; nil without a header
	width    int      // of all columns
	labelCol int      // -1: none
	text     string   // label of the last row
}

// recordLimit fails a read once the record at hand exceeds maxRecord.
type recordLimit struct {
	r    io.Reader
	left int
}

func (l *recordLimit) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("a record exceeds %d bytes", maxRecord)
	}
	n, err := l.r.Read(b[:min(len(b), l.left)])
	l.left -= n
	return n, err
}

// newCSVRows reads the first record. label is the name of the column of
// labels, or in a table without header its number from 0; empty for none.
func newCSVRows(c *dataset.Content, label string) (dataset.Reader, error) {
	if bom, err := c.Peek(3); err == nil && string(bom) == "\uFEFF" {
		_, _ = c.Discard(3)
	}
	r := &csvRows{Content: c, limit: &recordLimit{r: c.Reader, left: maxRecord}, labelCol: -1}
	r.csv = csv.NewReader(r.limit)
	r.csv.Comma = separator(c)
	r.csv.TrimLeadingSpace = true
	r.csv.FieldsPerRecord = -1
	first, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: empty", c.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	r.csv.ReuseRecord = true
	first = slices.Clone(first)
	r.width = len(first)
	for i := range first {
		first[i] = strings.TrimSpace(first[i])
	}
	if isHeader(first, label) {
		r.names = first
	} else {
		r.first = first
	}
	if label != "" {
		if r.labelCol, err = r.find(label); err != nil {
			return nil, err
		}
		if r.width == 1 {
			return nil, fmt.Errorf("%s: no column other than the labels", c.Name)
		}
	}
	return r, nil
}

// separator looks at the first line only, and waits for no more than that:
// what follows it may come much later.
func separator(c *dataset.Content) rune {
	text, err := c.Peek(1)
	for err == nil && !bytes.ContainsRune(text, '\n') {
		text, err = c.Peek(max(c.Buffered(), len(text)+1))
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for _, sep := range ",;\t" {
		if strings.ContainsRune(line, sep) {
			return sep
		}
	}
	return ','
}

func isHeader(record []string, label string) bool {
	if _, err := strconv.Atoi(label); label != "" && err != nil && slices.Contains(record, label) {
		return true
	}
	for _, cell := range record {
		if _, err := strconv.ParseFloat(cell, 64); err == nil || cell == "" {
			return false
		}
	}
	return true
}

func (r *csvRows) find(label string) (int, error) {
	if r.names != nil {
		if i := slices.Index(r.names, label); i >= 0 {
			return i, nil
		}
		return 0, fmt.Errorf("%s: no column %q; it has %s", r.Name, label, strings.Join(r.names, ", "))
	}
	if i, err := strconv.Atoi(label); err == nil && i >= 0 && i < r.width {
		return i, nil
	}
	return 0, fmt.Errorf("%s has no header: want the label column's number, 0 to %d, got %q", r.Name, r.width-1, label)
}

var (
	_ dataset.RowLabels = (*csvRows)(nil)
	_ dataset.Featured  = (*csvRows)(nil)
)

func (r *csvRows) Example() tensor.Shape {
	if r.labelCol >= 0 {
		return tensor.Shape{r.width - 1}
	}
	return tensor.Shape{r.width}
}

func (r *csvRows) Count() int        { return -1 }
func (r *csvRows) Label() string     { return r.text }
func (r *csvRows) Classes() []string { return nil }

// Features implements dataset.Featured: the columns but the label, nil without a
// header.
func (r *csvRows) Features() []string {
	if r.names == nil || r.labelCol < 0 {
		return r.names
	}
	return slices.Delete(slices.Clone(r.names), r.labelCol, r.labelCol+1)
}

// column names column i of the table for an error.
func (r *csvRows) column(i int) string {
	if r.names != nil {
		return fmt.Sprintf("column %q", r.names[i])
	}
	return dataset.Numbered(i)
}

func (r *csvRows) Next(dst []float32) error {
	record := r.first
	r.first = nil
	line := 1
	if record == nil {
		r.limit.left = maxRecord
		var err error
		record, err = r.csv.Read()
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			r.Row++
			return r.bad(parse.Line, parse.Err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		line, _ = r.csv.FieldPos(0)
	}
	r.Row++
	if len(record) != r.width {
		return r.bad(line, fmt.Errorf("%d columns, want %d", len(record), r.width))
	}
	k := 0
	for i, cell := range record {
		cell = strings.TrimSpace(cell)
		if i == r.labelCol {
			if r.text = cell; cell == "" {
				return r.bad(line, fmt.Errorf("%s: no label", r.column(i)))
			}
			continue
		}
		v, err := number(cell)
		if err != nil {
			return r.bad(line, fmt.Errorf("%s: %w", r.column(i), err))
		}
		dst[k] = v
		k++
	}
	return nil
}

func (r *csvRows) bad(line int, err error) error {
	return &dataset.RowError{Source: r.Name, Row: r.Row - 1, Err: fmt.Errorf("line %d: %w", line, err)}
}
