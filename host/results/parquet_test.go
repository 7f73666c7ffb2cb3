package results

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// Lists are told apart from missing and empty ones, across the writes of more
// rows than go to a column at once, and long ones stay whole.
func TestParquetLists(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Float32), Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	list := b.Field(0).(*array.ListBuilder)
	var want strings.Builder
	for i := range 3*valuesAtOnce + 1 {
		numbers := make([]float32, i%4)
		for j := range numbers {
			numbers[j] = float32(i) + float32(j)/8
		}
		switch {
		case i == 100:
			numbers = make([]float32, 2*valuesAtOnce)
		case i%4 == 3:
			list.AppendNull()
			want.WriteString("{\"l\":null}\n")
			continue
		}
		list.Append(true)
		list.ValueBuilder().(*array.Float32Builder).AppendValues(numbers, nil)
		fmt.Fprintf(&want, "{\"l\":%s}\n", strings.Join(strings.Fields(fmt.Sprint(numbers)), ","))
	}
	var file bytes.Buffer
	sink := &parquetSink{}
	if err := sink.start(&file, schema); err != nil {
		t.Fatal(err)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	if err := sink.write(batch); err != nil {
		t.Fatal(err)
	}
	if err := sink.close(); err != nil {
		t.Fatal(err)
	}
	if got := readBack(t, "parquet", file.Bytes()); got.rows != want.String() || got.columns[0] != "l list<float32>" {
		t.Errorf("%s:\n%s\nwant\n%s", got.columns[0], got.rows, want.String())
	}
}

// A long text is not repeated in the headers of pages, whose size readers
// bound. The footer has it as the bound of its column.
func TestParquetLongText(t *testing.T) {
	var b bytes.Buffer
	w := newParquet(&b, Options{})
	const long = 1 << 20
	if err := w.Bad(0, dataset.Trace{}, errors.New(strings.Repeat("x", long))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Metadata().RowGroups[0].Columns {
		m := c.MetaData
		if m.Codec.String() != "SNAPPY" {
			t.Errorf("%v is of %v", m.PathInSchema, m.Codec)
		}
		if m.TotalCompressedSize > long/8 {
			t.Errorf("%v has %d bytes of pages", m.PathInSchema, m.TotalCompressedSize)
		}
		if m.PathInSchema[0] == "error" && len(m.Statistics.MaxValue) != long {
			t.Errorf("%d bytes of the longest error, want %d", len(m.Statistics.MaxValue), long)
		}
	}
}
