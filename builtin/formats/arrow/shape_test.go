package arrow

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestDescribe says what columns of images hold, and which of them are refused.
func TestDescribe(t *testing.T) {
	list := func(n int32, of arrow.DataType) arrow.DataType { return arrow.FixedSizeListOf(n, of) }
	tensor := func(n int32, about string) arrow.Field {
		return arrow.Field{Type: list(n, arrow.PrimitiveTypes.Uint8),
			Metadata: arrow.NewMetadata([]string{"ARROW:extension:name", "ARROW:extension:metadata"}, []string{"arrow.fixed_shape_tensor", about})}
	}
	for _, c := range []struct {
		name  string
		field arrow.Field
		want  Column
	}{
		{"bytes", arrow.Field{Type: list(4, arrow.PrimitiveTypes.Uint8)}, Column{Size: 4, Bytes: true}},
		{"floats", arrow.Field{Type: list(4, arrow.PrimitiveTypes.Float32)}, Column{Size: 4}},
		{"rows of lists", arrow.Field{Type: list(2, list(3, arrow.PrimitiveTypes.Uint8))}, Column{Size: 6, Shape: []int{2, 3}, Bytes: true}},
		{"any length in one", arrow.Field{Type: list(2, arrow.ListOf(arrow.PrimitiveTypes.Uint8))}, Column{Size: 2, List: true, Bytes: true}},
		{"binary", arrow.Field{Type: arrow.BinaryTypes.Binary}, Column{Text: true, Binary: true}},
		{"binary of one length", arrow.Field{Type: &arrow.FixedSizeBinaryType{ByteWidth: 4}}, Column{Binary: true, Reject: "is of type fixed_size_binary[4]"}},
		{"tensor", tensor(6, `{"shape":[1,2,3],"dim_names":["h","w","c"]}`), Column{Size: 6, Shape: []int{1, 2, 3}, Bytes: true}},
		{"tensor of another size", tensor(6, `{"shape":[2,2]}`), Column{Size: 6, Bytes: true, Reject: "holds tensors of shape [2 2] in lists of 6"}},
		{"tensor without end", tensor(6, `{"shape":[3037000500,3037000500]}`), Column{Size: 6, Bytes: true, Reject: "holds tensors of shape [3037000500 3037000500]"}},
		{"permuted tensor", tensor(6, `{"shape":[2,3],"permutation":[1,0]}`),
			Column{Size: 6, Bytes: true, Reject: "holds tensors of permuted dimensions, [1 0], want them in C order"}},
		{"tensor without shape", tensor(6, "?"), Column{Size: 6, Bytes: true, Reject: "is a tensor without a shape"}},
	} {
		got := describe(c.field)
		if !slices.Equal(got.Shape, c.want.Shape) {
			t.Errorf("%s: shape %v, want %v", c.name, got.Shape, c.want.Shape)
		}
		got.Shape, c.want.Shape = nil, nil
		if got.Text != c.want.Text || got.Binary != c.want.Binary || got.List != c.want.List || got.Size != c.want.Size || got.Bytes != c.want.Bytes || got.Reject != c.want.Reject {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestManyBatches reads batches until their bytes are many times what may be
// claimed at once: what is read is given back.
func TestManyBatches(t *testing.T) {
	const batches, rows = 4096, 64
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.FixedSizeListOf(256, arrow.PrimitiveTypes.Uint8)}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	list := b.Field(0).(*array.FixedSizeListBuilder)
	for range rows {
		list.Append(true)
		list.ValueBuilder().(*array.Uint8Builder).AppendValues(make([]byte, 256), nil)
	}
	batch := b.NewRecordBatch()
	for name, options := range map[string][]ipc.Option{"plain": nil, "LZ4": {ipc.WithLZ4()}, "Zstandard": {ipc.WithZstd()}} {
		in, out := io.Pipe()
		go func() {
			w := ipc.NewWriter(out, append(options, ipc.WithSchema(schema))...)
			var err error
			for i := 0; i < batches && err == nil; i++ {
				err = w.Write(batch)
			}
			_ = out.CloseWithError(errors.Join(err, w.Close()))
		}()
		table, err := Open(bufio.NewReader(in), -1)
		if err != nil {
			t.Fatal(err)
		}
		table.memory.most = 1 << 20 // a batch has 16 KiB
		n, ends := 0, 0
		for !errors.Is(err, io.EOF) {
			switch _, err = table.Next(); {
			case err == nil:
				n++
			case errors.Is(err, ErrBatchEnd):
				ends++
			case !errors.Is(err, io.EOF):
				t.Fatalf("%s: row %d: %v", name, n, err)
			}
		}
		if n != batches*rows || ends != batches {
			t.Errorf("%s: %d rows in %d batches", name, n, ends)
		}
	}
}

func TestAsBytes(t *testing.T) {
	s := stream(t, 2, []arrow.Field{{Name: "x", Type: arrow.BinaryTypes.Binary}}, func(b array.Builder) {
		b.(*array.BinaryBuilder).Append([]byte{0, 255})
		b.(*array.BinaryBuilder).Append(nil)
	})
	table, err := Open(bufio.NewReader(bytes.NewReader(s)), -1)
	if err != nil {
		t.Fatal(err)
	}
	table.AsBytes(0)
	if got, err := table.Next(); err != nil || !slices.Equal(got, []Cell{{}, {Number: 255}}) {
		t.Errorf("%+v, %v", got, err)
	}
}
