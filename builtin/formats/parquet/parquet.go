// Package parquet reads tables of numbers and labels from Apache Parquet
// files, a row at a time.
package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// maxColumns bounds the leaf columns of a table.
	maxColumns = 1 << 16
	// maxDepth bounds how deep columns stand in each other.
	maxDepth = 64
	// maxFooter bounds the metadata in bytes.
	maxFooter = 64 << 20
	// batch is the number of rows decoded at a time.
	batch = 64
)

// Column is one leaf of the table's schema.
type Column struct {
	Name     string // dotted where the schema is nested
	List     bool   // holds any number of values a row
	Text     bool   // holds strings
	Binary   bool   // holds strings of bytes: Text that AsBytes makes lists of numbers
	Bytes    bool   // its numbers are bytes without a sign
	Whole    bool   // its numbers are whole ones of 64 bits
	Unsigned bool   // they have no sign
	Reject   string // why its values are neither numbers nor text, or empty
	decoder  func(pq.Value) float64
	exact    func(pq.Value) string // of decimals: all digits; else nil
}

// Cell is one value of a row.
type Cell struct {
	Column int
	Null   bool
	Number float64 // if the column is not text; booleans are 0 and 1
	Text   string  // if it is; also a number that Number does not hold exactly
}

// Metadata is the value of a key in the footer, empty if there is none.
func (t *Table) Metadata(key string) string { return t.metadata[key] }

// Table reads the rows of one file in order.
type Table struct {
	columns  []Column
	metadata map[string]string
	file     io.ReaderAt
	size     int64
	meta     []format.RowGroup // of groups
	leaves   []leaf
	groups   []pq.RowGroup // that are not read yet
	rows     pq.Rows
	n        int64
	given    int64 // rows that Next gave, and those of skipped groups
	left     int64 // rows of the group at hand that Next has not given
	buf      []pq.Row
	at, end  int // unread rows of buf
	cells    []Cell
}

// Open reads the footer of the size bytes of r. The pages of a row group are
// walked, to hold what they claim against what they have, before it is read.
func Open(r io.ReaderAt, size int64) (t *Table, err error) {
	defer recovered(&err)
	if err := checkFooter(r, size); err != nil {
		return nil, err
	}
	f, err := pq.OpenFile(r, size, pq.SkipPageIndex(true), pq.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	schema := f.Schema()
	paths := schema.Columns()
	if len(paths) == 0 || len(paths) > maxColumns {
		return nil, fmt.Errorf("%d columns, want 1 to %d", len(paths), maxColumns)
	}
	if err := checkCodecs(f.Metadata()); err != nil {
		return nil, err
	}
	t = &Table{file: r, size: size, meta: f.Metadata().RowGroups, groups: f.RowGroups(), n: f.NumRows(), buf: make([]pq.Row, batch), metadata: map[string]string{}}
	for _, kv := range f.Metadata().KeyValueMetadata {
		t.metadata[kv.Key] = kv.Value
	}
	for _, p := range paths {
		l, ok := schema.Lookup(p...)
		if !ok {
			return nil, errors.New("inconsistent schema")
		}
		t.columns = append(t.columns, describe(p, l))
		t.leaves = append(t.leaves, leaf{l.MaxRepetitionLevel, l.MaxDefinitionLevel})
	}
	markHalves(t.columns, f.Metadata().Schema)
	total := int64(0)
	for _, g := range t.groups {
		n := g.NumRows()
		if n < 0 || total > t.n-n {
			return nil, errors.New("row groups hold more rows than the table")
		}
		total += n
	}
	if total != t.n {
		return nil, fmt.Errorf("row groups hold %d rows, the table claims %d", total, t.n)
	}
	return t, nil
}

// checkFooter holds the footer, the last thing but its length and the magic number,
// against the file: the decoder claims memory for what it says first.
func checkFooter(r io.ReaderAt, size int64) error {
	const magic = "PAR1"
	var tail [8]byte
	if size < 12 {
		return errors.New("truncated: not a Parquet file")
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	if string(tail[4:]) != magic {
		return errors.New("not a Parquet file, or a truncated one")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > size-12 || n > maxFooter {
		return fmt.Errorf("the footer claims %d bytes of %d", n, size)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-8-n); err != nil {
		return err
	}
	if _, err := thriftSize(b); err != nil {
		return fmt.Errorf("the footer: %w", err)
	}
	var m format.FileMetaData
	if err := thrift.NewDecoder((&thrift.CompactProtocol{}).NewReaderFromBytes(b)).Decode(&m); err != nil {
		return fmt.Errorf("reading parquet file metadata: %w", err)
	}
	return checkSchema(&m)
}

// checkSchema holds that the schema's elements are one tree, not deeper than maxDepth,
// and that each row group has a chunk for each of its leaves.
func checkSchema(m *format.FileMetaData) error {
	if len(m.Schema) == 0 {
		return errors.New("no columns")
	}
	var open []int32 // children that each element above still wants
	leaves := 0
	for i, e := range m.Schema {
		if i > 0 {
			if len(open) == 0 {
				return errors.New("the schema has columns that belong to none")
			}
			open[len(open)-1]--
		}
		n := int32(0)
		if e.NumChildren.Valid {
			n = e.NumChildren.V
		}
		if n < 0 || int(n) > len(m.Schema)-i-1 {
			return fmt.Errorf("column %.100q claims %d columns within, %d follow", e.Name, n, len(m.Schema)-i-1)
		}
		if n > 0 {
			if len(open) > maxDepth {
				return fmt.Errorf("columns nested more than %d deep", maxDepth)
			}
			open = append(open, n)
		} else if leaves++; leaves > maxColumns {
			return fmt.Errorf("more than %d columns", maxColumns)
		}
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return errors.New("the schema is cut short")
	}
	for i, g := range m.RowGroups {
		if len(g.Columns) != leaves {
			return fmt.Errorf("row group %d has %d columns, the schema %d", i, len(g.Columns), leaves)
		}
	}
	return nil
}

// checkCodecs refuses what is not known, LZ4 with Hadoop's frames among it.
func checkCodecs(m *format.FileMetaData) error {
	for _, g := range m.RowGroups {
		for _, c := range g.Columns {
			switch codec := c.MetaData.Codec; codec {
			case format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd, format.Lz4Raw:
			default:
				return fmt.Errorf("compression %v, want none, snappy, gzip, brotli, zstd or lz4_raw", codec)
			}
		}
	}
	return nil
}

func describe(path []string, leaf pq.LeafColumn) Column {
	c := Column{Name: strings.Join(path, "."), List: leaf.MaxRepetitionLevel > 0}
	if c.List {
		c.Name = path[0] // the writers' names below a list differ
	}
	typ := leaf.Node.Type()
	logical := typ.LogicalType()
	unsigned := false
	if logical != nil {
		switch l := logical.Value.(type) {
		case *format.IntType:
			unsigned = !l.IsSigned
			c.Bytes = unsigned && l.BitWidth == 8
		case *format.DecimalType:
			c.decimal(typ, l)
			return c
		case *format.StringType, *format.EnumType, *format.NullType, nil:
		default:
			c.Reject = "is of type " + logical.String()
			return c
		}
	}
	switch typ.Kind() {
	case pq.Boolean:
		c.decoder = func(v pq.Value) float64 {
			if v.Boolean() {
				return 1
			}
			return 0
		}
	case pq.Int32:
		c.decoder = func(v pq.Value) float64 { return float64(v.Int32()) }
		if unsigned {
			c.decoder = func(v pq.Value) float64 { return float64(v.Uint32()) }
		}
	case pq.Int64:
		c.Whole, c.Unsigned = true, unsigned
		c.decoder = func(v pq.Value) float64 { return float64(v.Int64()) }
		c.exact = func(v pq.Value) string {
			if i := v.Int64(); i > 1<<53 || i < -1<<53 {
				return strconv.FormatInt(i, 10)
			}
			return ""
		}
		if unsigned {
			c.decoder = func(v pq.Value) float64 { return float64(v.Uint64()) }
			c.exact = func(v pq.Value) string {
				if i := v.Uint64(); i > 1<<53 {
					return strconv.FormatUint(i, 10)
				}
				return ""
			}
		}
	case pq.Float:
		c.decoder = func(v pq.Value) float64 { return float64(v.Float()) }
	case pq.Double:
		c.decoder = pq.Value.Double
	case pq.ByteArray:
		c.Text, c.Binary = true, logical == nil && !c.List
	default:
		c.Reject, c.Binary = "is of type "+typ.Kind().String(), typ.Kind() == pq.FixedLenByteArray && logical == nil && !c.List
	}
	return c
}

// Columns are the leaves of the schema in order. The slice must not be
// changed.
func (t *Table) Columns() []Column { return t.columns }

// NumRows is the number of rows that the footer claims.
func (t *Table) NumRows() int64 { return t.n }

// Next is the next row, its cells by column and, in a list, in order; io.EOF
// ends. The cells are valid until the next call.
func (t *Table) Next() (cells []Cell, err error) {
	defer recovered(&err)
	for t.at == t.end {
		if err := t.fill(); err != nil {
			if errors.Is(err, io.EOF) && t.given < t.n {
				return nil, fmt.Errorf("%d rows, the footer claims %d", t.given, t.n)
			}
			return nil, err
		}
	}
	t.left--
	if t.given++; t.given > t.n {
		return nil, fmt.Errorf("more rows than the %d that the footer claims", t.n)
	}
	t.cells = t.cells[:0]
	for _, v := range t.buf[t.at] {
		i := v.Column()
		if i < 0 || i >= len(t.columns) {
			return nil, errors.New("a value without a column")
		}
		cell := Cell{Column: i, Null: v.IsNull()}
		switch c := t.columns[i]; {
		case cell.Null || c.Reject != "":
		case c.Binary && c.Bytes:
			for _, b := range v.ByteArray() {
				cell.Number = float64(b)
				t.cells = append(t.cells, cell)
			}
			continue
		case c.Text:
			cell.Text = string(v.ByteArray())
		default:
			cell.Number = c.decoder(v)
			if c.exact != nil {
				cell.Text = c.exact(v)
			}
		}
		t.cells = append(t.cells, cell)
	}
	t.at++
	return t.cells, nil
}

// fill decodes the next rows.
func (t *Table) fill() error {
	if t.rows == nil {
		if len(t.groups) == 0 {
			return io.EOF
		}
		longest, err := checkPages(t.file, t.size, &t.meta[0], t.leaves)
		if err != nil {
			return err
		}
		t.buf = t.buf[:max(1, min(batch, maxRow/max(longest, 1)))]
		t.rows, t.left = t.groups[0].Rows(), t.groups[0].NumRows()
		t.groups, t.meta = t.groups[1:], t.meta[1:]
	}
	n, err := t.rows.ReadRows(t.buf)
	t.at, t.end = 0, n
	if errors.Is(err, io.EOF) || n == 0 && err == nil {
		rows := t.rows
		t.rows = nil
		return rows.Close()
	}
	return err
}

// Groups are the numbers of rows of the row groups that are not read yet.
func (t *Table) Groups() []int64 {
	out := make([]int64, len(t.groups))
	for i, g := range t.groups {
		out[i] = g.NumRows()
	}
	return out
}

// SkipGroup passes over the next row group without reading it, and reports
// whether it did: not where rows of the one at hand are left, or none follows.
func (t *Table) SkipGroup() (done bool, err error) {
	defer recovered(&err)
	if t.at < t.end || t.rows != nil && t.left != 0 || len(t.groups) == 0 {
		return false, nil
	}
	if t.rows != nil {
		rows := t.rows
		t.rows = nil
		if err := rows.Close(); err != nil {
			return false, err
		}
	}
	t.given += t.groups[0].NumRows()
	t.groups, t.meta = t.groups[1:], t.meta[1:]
	return true, nil
}

// AsBytes makes a Binary column one of lists of bytes, of any number a row.
func (t *Table) AsBytes(column int) {
	c := &t.columns[column]
	c.Text, c.List, c.Bytes, c.Reject = false, true, true, ""
}

// Close releases the row group at hand. It does not close the file.
func (t *Table) Close() (err error) {
	defer recovered(&err)
	if t.rows == nil {
		return nil
	}
	return t.rows.Close()
}

// recovered turns a panic of the decoder over a corrupt file into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("corrupt file: %.200v", p)
	}
}
