package results

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go"
)

func newParquet(w io.Writer, o Options) Writer {
	return &typedResults{o: o, w: w, sink: &parquetSink{}}
}

// parquetSink is a Parquet file: a row group for each batch, with pages of
// version 1 packed by Snappy. Bounds of values are in the footer and the page
// index, and not in the headers of pages: they have a text in full, and readers
// bound a header.
type parquetSink struct {
	file   *parquet.Writer //nolint:staticcheck // a schema made at run time has no Go type, which is what the newer writer wants
	values []parquet.Value // of the rows at hand of one column
}

// valuesAtOnce is how many values go to a column together, or the one row that
// has more; the library ends a page between such.
const valuesAtOnce = 256

func (p *parquetSink) start(w io.Writer, s *arrow.Schema) error {
	options := []parquet.WriterOption{
		parquet.NewSchema("schema", parquetColumns(s.Fields())),
		parquet.Compression(&parquet.Snappy),
		parquet.DataPageVersion(1),
		parquet.DataPageStatistics(false),
		parquet.WriteBufferSize(1 << 16),
	}
	about := s.Metadata()
	for i, key := range about.Keys() {
		options = append(options, parquet.KeyValueMetadata(key, about.Values()[i]))
	}
	// The options themselves: one that is false is lost in a WriterConfig.
	p.file = parquet.NewWriter(w, options...)
	return nil
}

func (p *parquetSink) write(r arrow.RecordBatch) error {
	fields := r.Schema().Fields()
	for i, to := range p.file.ColumnWriters() { // each field has one leaf
		if err := p.column(to, i, r.Column(i), fields[i].Nullable); err != nil {
			return err
		}
	}
	return p.file.Flush()
}

func (p *parquetSink) close() error { return p.file.Close() }

// column writes all of column i.
func (p *parquetSink) column(to *parquet.ColumnWriter, i int, a arrow.Array, nullable bool) error {
	for at := range a.Len() {
		p.values = appendCells(p.values, a, at, i, nullable)
		if len(p.values) < valuesAtOnce && at < a.Len()-1 {
			continue
		}
		if _, err := to.WriteRowValues(p.values); err != nil {
			return err
		}
		p.values = p.values[:0]
	}
	return nil
}

// appendCells appends row at of column i: one value, or those of a list. The
// definition level of a value counts what of its path might be missing and is
// not; all but the first of a list have the repetition level 1.
func appendCells(to []parquet.Value, a arrow.Array, at, i int, nullable bool) []parquet.Value {
	if a.IsNull(at) {
		return append(to, parquet.NullValue().Level(0, 0, i))
	}
	there := 0
	if nullable {
		there = 1
	}
	switch a := a.(type) {
	case *array.Int64:
		return append(to, parquet.Int64Value(a.Value(at)).Level(0, there, i))
	case *array.Uint64:
		return append(to, parquet.Int64Value(int64(a.Value(at))).Level(0, there, i)) // its bits
	case *array.Float64:
		return append(to, parquet.DoubleValue(a.Value(at)).Level(0, there, i))
	case *array.String:
		return append(to, parquet.ByteArrayValue([]byte(a.Value(at))).Level(0, there, i))
	case *array.List:
		first, end := a.ValueOffsets(at)
		if first == end {
			return append(to, parquet.NullValue().Level(0, there, i))
		}
		numbers := a.ListValues().(*array.Float32).Float32Values()
		for j, v := range numbers[first:end] {
			to = append(to, parquet.FloatValue(v).Level(min(j, 1), there+2, i))
		}
		return to
	}
	panic("results: a type without a Parquet column")
}

// fieldsInOrder is a group whose fields are not sorted by name.
type fieldsInOrder struct {
	parquet.Group
	fields []parquet.Field
}

// Fields implements parquet.Node.
func (f fieldsInOrder) Fields() []parquet.Field { return f.fields }

// parquetColumns is the root of a file's schema.
func parquetColumns(fields []arrow.Field) parquet.Node {
	root := fieldsInOrder{Group: parquet.Group{}}
	for _, f := range fields {
		n := parquetColumn(f)
		root.Group[f.Name] = n
		root.fields = append(root.fields, parquet.Group{f.Name: n}.Fields()...)
	}
	return root
}

// parquetColumn is one column. Classes and texts tend to repeat, and have
// dictionaries.
func parquetColumn(f arrow.Field) parquet.Node {
	var n parquet.Node
	switch f.Type.ID() {
	case arrow.INT64:
		n = parquet.Int(64)
		if f.Nullable {
			n = parquet.Encoded(n, &parquet.RLEDictionary)
		}
	case arrow.UINT64:
		n = parquet.Uint(64)
	case arrow.FLOAT64:
		n = parquet.Leaf(parquet.DoubleType)
	case arrow.STRING:
		n = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	case arrow.LIST:
		n = parquet.List(parquet.Optional(parquet.Leaf(parquet.FloatType)))
	default:
		panic("results: a type without a Parquet column")
	}
	if f.Nullable {
		n = parquet.Optional(n)
	}
	return n
}
