package arrow

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"
)

func open(b []byte) (*Table, error) {
	return Open(bufio.NewReader(bytes.NewReader(b)), int64(len(b)))
}

// stream is the IPC stream of one batch of n rows, each column made by build; nil: of
// nulls.
func stream(t *testing.T, n int64, fields []arrow.Field, build ...func(array.Builder)) []byte {
	t.Helper()
	schema := arrow.NewSchema(fields, nil)
	var columns []arrow.Array
	for i, f := range fields {
		if build[i] == nil {
			columns = append(columns, array.NewNull(int(n)))
			continue
		}
		b := array.NewBuilder(memory.DefaultAllocator, f.Type)
		build[i](b)
		columns = append(columns, b.NewArray())
	}
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := w.Write(array.NewRecordBatch(schema, columns, n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestNext(t *testing.T) {
	b := stream(t, 2, []arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Uint64},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "v", Type: arrow.ListOf(arrow.PrimitiveTypes.Float32)},
		{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_s},
	}, func(b array.Builder) { b.(*array.Uint64Builder).AppendValues([]uint64{7, 1<<63 + 1}, nil) },
		func(b array.Builder) { b.(*array.StringBuilder).Append("x"); b.AppendNull() },
		func(b array.Builder) {
			l := b.(*array.ListBuilder)
			v := l.ValueBuilder().(*array.Float32Builder)
			l.Append(true)
			v.AppendValues([]float32{1, 2}, nil)
			l.Append(true)
			v.Append(3)
		},
		func(b array.Builder) { b.(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{0, 1}, nil) })
	table, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	if c := table.Columns(); len(c) != 4 || !c[1].Text || !c[2].List || !strings.Contains(c[3].Reject, "timestamp") {
		t.Errorf("columns %+v", c)
	}
	for i, want := range [][]Cell{
		{{0, false, 7, ""}, {1, false, 0, "x"}, {2, false, 1, ""}, {2, false, 2, ""}, {3, true, 0, ""}},
		{{0, false, 1 << 63, "9223372036854775809"}, {1, true, 0, ""}, {2, false, 3, ""}, {3, true, 0, ""}},
	} {
		got, err := table.Next()
		if err != nil || len(got) != len(want) {
			t.Fatalf("row %d: %+v, %v", i, got, err)
		}
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("row %d cell %d is %+v, want %+v", i, k, got[k], want[k])
			}
		}
	}
	for _, want := range []error{ErrBatchEnd, io.EOF, io.EOF} {
		if _, err := table.Next(); !errors.Is(err, want) {
			t.Errorf("after the last row: %v, want %v", err, want)
		}
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
}

// shared is a schema whose fields share their children: 2^depth of them in a
// few bytes.
func shared(depth int) []byte {
	b := flatbuffers.NewBuilder(0)
	field := func(children flatbuffers.UOffsetT) flatbuffers.UOffsetT {
		b.StartObject(7)
		if children != 0 {
			b.PrependUOffsetTSlot(5, children, 0)
		}
		return b.EndObject()
	}
	pair := func(f flatbuffers.UOffsetT) flatbuffers.UOffsetT {
		b.StartVector(4, 2, 4)
		b.PrependUOffsetT(f)
		b.PrependUOffsetT(f)
		return b.EndVector(2)
	}
	f := field(0)
	for range depth {
		f = field(pair(f))
	}
	fields := pair(f)
	b.StartObject(4)
	b.PrependUOffsetTSlot(1, fields, 0)
	schema := b.EndObject()
	b.StartObject(5)
	b.PrependByteSlot(1, headerSchema, 0)
	b.PrependUOffsetTSlot(2, schema, 0)
	b.Finish(b.EndObject())
	text := b.FinishedBytes()
	out := append([]byte(Continuation), byte(len(text)), byte(len(text)>>8), 0, 0)
	return append(out, text...)
}

func TestRefused(t *testing.T) {
	good := stream(t, 1, []arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8}}, func(b array.Builder) { b.(*array.Int8Builder).Append(1) })
	nulls := stream(t, 1<<40, []arrow.Field{{Name: "a", Type: arrow.Null, Nullable: true}}, nil)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "empty"},
		{"Feather 1", []byte("FEA1\x00\x00\x00\x00"), "Feather's version 1"},
		{"other", []byte("hello, world"), "not Arrow's IPC format"},
		{"cut schema", good[:40], "truncated"},
		{"cut batch", good[:len(good)-20], "batch 0: "},
		{"trailing bytes", append(bytes.Clone(good), 1), "trailing bytes"},
		{"shared children", shared(24), "more than 65536 columns"},
		{"deep", shared(40), "columns"},
		{"a batch of nulls", nulls, "1099511627776 rows, want at most 16777216"},
	} {
		table, err := open(c.file)
		for err == nil || errors.Is(err, ErrBatchEnd) {
			_, err = table.Next()
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAllocator(t *testing.T) {
	claim := func(n int) (err error) {
		defer recovered(&err)
		a := &allocator{used: 900, most: 1000}
		a.Free(a.Reallocate(50, a.Allocate(20)))
		a.Allocate(n)
		return nil
	}
	if err := claim(90); err != nil {
		t.Errorf("what is free was refused: %v", err)
	}
	for _, n := range []int{101, -1} {
		if err := claim(n); err == nil || !strings.Contains(err.Error(), "want at most 1000") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
