package formats

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// CSV is text in rows and columns.
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
	r, err := newCSVRecords(c, o)
	if err != nil {
		return nil, err
	}
	return dataset.NewTable(r, c.Name, o)
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
	text, err := newCSVText(c)
	if err != nil {
		return dataset.Array{}, err
	}
	r := csv.NewReader(&recordLimit{r: text, left: 1 << 30})
	r.FieldsPerRecord = 1
	r.TrimLeadingSpace = true
	var out []string
	numbers := 0
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return dataset.Array{}, fmt.Errorf("%s: want one label per line: %w", path, err)
		}
		label := strings.TrimSpace(record[0])
		if isNumber(label) {
			numbers++
		}
		out = append(out, label)
	}
	if len(out) > 1 && (len(out) == n+1 || n < 0 && numbers == len(out)-1 && !isNumber(out[0])) {
		out = out[1:]
	}
	return dataset.Array{Shape: []int{len(out)}, Data: out}, nil
}

// isNumber reports whether text is a finite number.
func isNumber(text string) bool {
	v, err := strconv.ParseFloat(text, 64)
	return err == nil && v-v == 0
}

// maxColumns bounds the columns of a table of text.
const maxColumns = 1 << 20

// csvRecords are the records of a table of text.
type csvRecords struct {
	*dataset.Content
	csv     *csv.Reader
	limit   *recordLimit
	spaced  bool     // separated by spaces
	first   []string // the first record, if it is data
	broken  error    // the first record, if it cannot be read
	columns []dataset.Column
	header  bool
	skipped int // lines before the table
	line    int // of the last record
	cells   []dataset.Cell
	notices []string
	decimal decimals
}

var (
	_ dataset.Lined    = (*csvRecords)(nil)
	_ dataset.Noticing = (*csvRecords)(nil)
)

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

// newCSVRecords reads what stands above the rows, or the first of them.
func newCSVRecords(c *dataset.Content, o dataset.ReadOptions) (*csvRecords, error) {
	text, err := newCSVText(c)
	if err != nil {
		return nil, err
	}
	known := knownOf(o)
	r := &csvRecords{Content: c}
	if r.skipped, r.notices, err = skipComments(text, c.Name, known); err != nil {
		return nil, err
	}
	line := firstLine(text)
	sep := separator(line, known)
	r.spaced = sep == ' '
	r.decimal.on = sep == ';'
	r.limit = &recordLimit{r: text, left: maxRecord}
	r.csv = csv.NewReader(r.limit)
	r.csv.Comma = sep
	r.csv.TrimLeadingSpace = sep != '\t' // which is white space too
	r.csv.FieldsPerRecord = -1
	first, err := r.read()
	var bad *dataset.RowError
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: empty", c.Name)
	case errors.As(err, &bad) && o.Header != nil && !*o.Header && sized(o):
		r.broken = err
		return r, nil
	case bad != nil:
		return nil, fmt.Errorf("%s: line %d: %w", c.Name, r.line, errors.Unwrap(bad.Err))
	case err != nil:
		return nil, err
	}
	r.csv.ReuseRecord = true
	first = slices.Clone(first)
	if r.header, err = known.header(first, o); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	r.columns = make([]dataset.Column, len(first))
	if !r.header {
		r.first = first
		return r, nil
	}
	r.Row = 0
	for i, name := range first {
		r.columns[i].Name = name
	}
	return r, nil
}

// sized reports whether the width of rows is known before the first.
func sized(o dataset.ReadOptions) bool {
	return o.Example != nil || o.Schema != nil && len(o.Schema.Features) > 0
}

func (r *csvRecords) Columns() []dataset.Column { return r.columns }
func (r *csvRecords) Header() bool              { return r.header }
func (r *csvRecords) Count() int                { return -1 }
func (r *csvRecords) Line() int                 { return r.line }

// Notices implements dataset.Noticing.
func (r *csvRecords) Notices() []string {
	if r.decimal.commas {
		return append(slices.Clone(r.notices), "commas are read as decimal points: the separator is the semicolon")
	}
	return r.notices
}

// read is the next record of the text, its cells trimmed.
func (r *csvRecords) read() ([]string, error) {
	r.limit.left = maxRecord
	record, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	r.Row++
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		r.line = parse.Line + r.skipped
		return nil, r.bad(parse.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	r.line, _ = r.csv.FieldPos(0)
	r.line += r.skipped
	if r.spaced && len(record) > 1 && record[len(record)-1] == "" {
		record = record[:len(record)-1]
	}
	if len(record) > maxColumns {
		return nil, r.bad(fmt.Errorf("%d columns, want at most %d", len(record), maxColumns))
	}
	for i, cell := range record {
		record[i] = strings.TrimSpace(cell)
	}
	return record, nil
}

func (r *csvRecords) bad(err error) error {
	return &dataset.RowError{Source: r.Name, Row: r.Row - 1, Err: fmt.Errorf("line %d: %w", r.line, err)}
}

// Record implements dataset.Records.
func (r *csvRecords) Record() ([]dataset.Cell, error) {
	record, err := r.first, r.broken
	if r.first, r.broken = nil, nil; record == nil && err == nil {
		record, err = r.read()
	}
	if err != nil {
		return nil, err
	}
	r.cells = r.cells[:0]
	for _, cell := range record {
		text, err := r.decimal.point(cell)
		if err != nil {
			return nil, r.bad(err)
		}
		c := dataset.Cell{Kind: dataset.CellText, Text: text}
		if cell == "" {
			c.Kind = dataset.CellMissing
		}
		r.cells = append(r.cells, c)
	}
	return r.cells, nil
}
