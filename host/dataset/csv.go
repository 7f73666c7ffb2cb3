package dataset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// maxRecord bounds the bytes of one csv record or JSON line.
const maxRecord = 16 << 20

// csvRows streams a table of numbers with, by choice, one column of labels.
// The separator is the comma, or the semicolon or tab if the first line has
// no comma. The first record is a header if the label's name (no number) stands
// in it, or if none of its cells is a number.
type csvRows struct {
	*content
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
func newCSVRows(c *content, label string) (*csvRows, error) {
	if bom, err := c.Peek(3); err == nil && string(bom) == "\uFEFF" {
		_, _ = c.Discard(3)
	}
	r := &csvRows{content: c, limit: &recordLimit{r: c.Reader, left: maxRecord}, labelCol: -1}
	r.csv = csv.NewReader(r.limit)
	r.csv.Comma = separator(c)
	r.csv.TrimLeadingSpace = true
	r.csv.FieldsPerRecord = -1
	first, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: empty", c.name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
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
			return nil, fmt.Errorf("%s: no column but the labels", c.name)
		}
	}
	return r, nil
}

// separator looks at the first line only, and waits for no more than that:
// what is behind it may come much later.
func separator(c *content) rune {
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
		return 0, fmt.Errorf("%s: no column %q; it has %s", r.name, label, strings.Join(r.names, ", "))
	}
	if i, err := strconv.Atoi(label); err == nil && i >= 0 && i < r.width {
		return i, nil
	}
	return 0, fmt.Errorf("%s has no header: want the label column's number, 0 to %d, got %q", r.name, r.width-1, label)
}

func (r *csvRows) example() tensor.Shape {
	if r.labelCol >= 0 {
		return tensor.Shape{r.width - 1}
	}
	return tensor.Shape{r.width}
}

func (r *csvRows) count() int        { return -1 }
func (r *csvRows) label() string     { return r.text }
func (r *csvRows) classes() []string { return nil }

// features are the names of the columns but the label, nil without a header.
func (r *csvRows) features() []string {
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
	return numbered(i)
}

func (r *csvRows) next(dst []float32) error {
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
			r.rows++
			return r.bad(parse.Line, parse.Err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		line, _ = r.csv.FieldPos(0)
	}
	r.rows++
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
	return &RowError{Source: r.name, Row: r.rows - 1, Err: fmt.Errorf("line %d: %w", line, err)}
}

// number is a finite float32 written as text.
func number(cell string) (float32, error) {
	if cell == "" {
		return 0, errors.New("no value")
	}
	v, err := strconv.ParseFloat(cell, 32)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%.40q is not a number", cell)
	}
	f := float32(v)
	if f-f != 0 { // NaN and infinity alone
		return 0, fmt.Errorf("%.40q: want finite numbers of float32", cell)
	}
	return f, nil
}
