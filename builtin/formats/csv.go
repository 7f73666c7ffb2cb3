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
	_ dataset.HeadedLabels = CSV{}
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

// ReadLabels implements dataset.LabelFormat: one label per line. Of n + 1 lines where n
// are wanted the first is a header if no other line says the same, or if it is 0, as
// pandas writes one; where n is unknown if it is the only one that is not a number.
func (f CSV) ReadLabels(path, key string, n int) (dataset.Array, error) {
	return f.ReadLabelsBelow(path, key, n, nil)
}

// ReadLabelsBelow implements dataset.HeadedLabels.
func (CSV) ReadLabelsBelow(path, _ string, n int, header *bool) (a dataset.Array, err error) {
	c, err := dataset.OpenContent(path)
	if err != nil {
		return dataset.Array{}, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	text, err := newCSVText(c)
	if err != nil {
		return dataset.Array{}, err
	}
	r := csv.NewReader(io.LimitReader(text, 1<<30))
	r.FieldsPerRecord = 1
	r.TrimLeadingSpace = true
	var out []string
	numbers := 0
	empty, next := 0, 1 // a line without a label before others, and the one after the last
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return dataset.Array{}, fmt.Errorf("%s: want one label per line: %w", path, err)
		}
		line, _ := r.FieldPos(0)
		if empty == 0 && line > next {
			empty = next
		}
		next = line + 1 + strings.Count(record[0], "\n")
		label := strings.TrimSpace(record[0])
		if isNumber(label) {
			numbers++
		}
		out = append(out, label)
	}
	switch {
	case len(out) == 0:
	case header != nil && *header:
		out = out[1:]
	case header != nil || len(out) == 1:
	case n < 0 && numbers == len(out)-1 && !isNumber(out[0]):
		out = out[1:]
	case empty > 0 && len(out) == n && !slices.Contains(out[1:], out[0]): // a header, and one label too few?
		return dataset.Array{}, fmt.Errorf("%s: line %d is empty, and the first line, %.40q, may be a header: write a label there, or leave it out and say header: true|false of the source",
			path, empty, out[0])
	case len(out) != n+1:
	case out[0] != "0" && slices.Contains(out[1:], out[0]):
		return dataset.Array{}, fmt.Errorf("%s: %d labels for %d rows: the first line, %.40q, is a label as others are; say header: true of the source if it is a header", path, len(out), n, out[0])
	default:
		out = out[1:]
	}
	if empty > 0 && n >= 0 && len(out) != n {
		return dataset.Array{}, fmt.Errorf("%s: %d labels for %d rows: line %d is empty", path, len(out), n, empty)
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
	lines   *csvLines
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
	r.lines = &csvLines{r: text}
	r.csv = csv.NewReader(r.lines)
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

// read is the next record of the text, its cells trimmed. A quote that opens in a line
// and makes no record of it and those after it is that line's fault alone: these are
// read again.
func (r *csvRecords) read() ([]string, error) {
	r.lines.begin()
	record, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	r.Row++
	from, lines := r.lines.from(), r.lines.count()
	r.line = r.lines.line - lines + from + r.skipped
	var parse *csv.ParseError
	switch {
	case errors.As(err, &parse):
		if err = parse.Err; lines > from {
			r.lines.again(from)
			err = fmt.Errorf("%w: it opens in this line and does not end there", err)
		}
		return nil, r.bad(err)
	case errors.Is(err, errLong):
		r.lines.again(from)
		return nil, r.bad(err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	if r.spaced && len(record) > 1 && record[len(record)-1] == "" {
		record = record[:len(record)-1]
	}
	if want := len(r.columns); lines > from && want > 0 && len(record) != want {
		r.lines.again(from)
		return nil, r.bad(fmt.Errorf("a quote opens in this line, and the %d lines to where it ends have %d columns, want %d", lines-from+1, len(record), want))
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
