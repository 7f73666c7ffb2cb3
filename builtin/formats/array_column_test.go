package formats

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// imageColumns are ways to have images of 2×3 in a column: the type, how one
// is appended, and the shape and white that a reader tells.
var imageColumns = []struct {
	name  string
	typ   arrow.DataType
	add   func(b array.Builder, image []byte)
	shape tensor.Shape
	white float64
}{
	{"bytes of one length", arrow.FixedSizeListOf(6, arrow.PrimitiveTypes.Uint8), func(b array.Builder, image []byte) {
		b.(*array.FixedSizeListBuilder).Append(true)
		b.(*array.FixedSizeListBuilder).ValueBuilder().(*array.Uint8Builder).AppendValues(image, nil)
	}, tensor.Shape{6}, 255},
	{"lists of bytes", arrow.ListOf(arrow.PrimitiveTypes.Uint8), func(b array.Builder, image []byte) {
		b.(*array.ListBuilder).Append(true)
		b.(*array.ListBuilder).ValueBuilder().(*array.Uint8Builder).AppendValues(image, nil)
	}, tensor.Shape{6}, 255},
	{"binary", arrow.BinaryTypes.Binary, func(b array.Builder, image []byte) { b.(*array.BinaryBuilder).Append(image) }, tensor.Shape{6}, 255},
	{"binary of one length", &arrow.FixedSizeBinaryType{ByteWidth: 6}, func(b array.Builder, image []byte) {
		b.(*array.FixedSizeBinaryBuilder).Append(image)
	}, tensor.Shape{6}, 255},
	{"lists of lists", arrow.FixedSizeListOf(2, arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Uint8)), func(b array.Builder, image []byte) {
		b.(*array.FixedSizeListBuilder).Append(true)
		inner := b.(*array.FixedSizeListBuilder).ValueBuilder().(*array.FixedSizeListBuilder)
		for i := range 2 {
			inner.Append(true)
			inner.ValueBuilder().(*array.Uint8Builder).AppendValues(image[3*i:3*i+3], nil)
		}
	}, tensor.Shape{2, 3}, 255},
	{"floats", arrow.FixedSizeListOf(6, arrow.PrimitiveTypes.Float32), func(b array.Builder, image []byte) {
		b.(*array.FixedSizeListBuilder).Append(true)
		for _, v := range image {
			b.(*array.FixedSizeListBuilder).ValueBuilder().(*array.Float32Builder).Append(float32(v))
		}
	}, tensor.Shape{6}, 0},
}

// arrowImages is an IPC stream of batches of images with the names of them beside.
func arrowImages(t *testing.T, typ arrow.DataType, add func(array.Builder, []byte), batches ...[][]byte) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "name", Type: arrow.BinaryTypes.String}, {Name: "x", Type: typ}, {Name: "size", Type: arrow.PrimitiveTypes.Int32}}, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	for _, rows := range batches {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for _, image := range rows {
			b.Field(0).(*array.StringBuilder).Append("n" + string('0'+image[0]%10))
			add(b.Field(1), image)
			b.Field(2).(*array.Int32Builder).Append(int32(len(image)))
		}
		if err := w.Write(b.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestArrayColumn reads images from a column x among others, batch by batch.
func TestArrayColumn(t *testing.T) {
	rows := [][]byte{{0, 1, 2, 3, 4, 255}, {7, 0, 0, 0, 0, 0}, {9, 9, 9, 9, 9, 9}}
	for _, c := range imageColumns {
		file := arrowImages(t, c.typ, c.add, nil, rows[:2], nil, rows[2:], nil)
		s, err := dataset.OpenStream("-", Table(), dataset.StreamOptions{Format: "arrow", Stdin: bytes.NewReader(file),
			Example: tensor.Shape{2, 3, 1}, Keep: []string{"name"}, Batches: true})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !s.Batched() || !slices.Equal(s.Kept(), []dataset.CellKind{dataset.CellText}) || s.About().White != c.white {
			t.Errorf("%s: batched %v, kept %v, white %v", c.name, s.Batched(), s.Kept(), s.About().White)
		}
		var got strings.Builder
		for row := make([]float32, 6); ; {
			err := s.ReadRow(row)
			if errors.Is(err, io.EOF) {
				break
			}
			if errors.Is(err, dataset.ErrBatchEnd) {
				got.WriteByte('|')
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got.WriteString(s.Trace().Kept[0].Text)
			for i, v := range row {
				if want := rows[strings.Count(got.String(), "n")-1][i]; v != float32(want) {
					t.Errorf("%s: %v, want %d", c.name, v, want)
				}
			}
		}
		if want := "|n0n7||n9||"; got.String() != want {
			t.Errorf("%s: rows and batches %s, want %s", c.name, got.String(), want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		r, err := Arrow{}.Open(write(t, "x.arrows", file), dataset.ReadOptions{Example: tensor.Shape{2, 3}})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !r.Example().Equal(c.shape) {
			t.Errorf("%s: shape %v, want %v", c.name, r.Example(), c.shape)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestArrayColumnRefused holds that a row of another length is that row's
// fault, and a column of another length the source's.
func TestArrayColumnRefused(t *testing.T) {
	rows := [][]byte{{0, 1, 2, 3, 4, 5}, {7, 0, 0}, {9, 9, 9, 9, 9, 9}}
	file := arrowImages(t, imageColumns[2].typ, imageColumns[2].add, rows)
	open := func(example tensor.Shape, keep ...string) (*dataset.Stream, error) {
		return dataset.OpenStream("-", Table(), dataset.StreamOptions{Format: "arrow", Stdin: bytes.NewReader(file), Example: example, Keep: keep})
	}
	s, err := open(tensor.Shape{6})
	if err != nil {
		t.Fatal(err)
	}
	_, index, bad, err := drain(t, s)
	if want := []string{`1 column "x" has 3 numbers, want 6`}; err != nil || !slices.Equal(index, []int{0, 2}) || !slices.Equal(bad, want) {
		t.Errorf("rows %v, bad %q, %v; want %q", index, bad, err, want)
	}
	if _, err := open(tensor.Shape{6}, "x"); err == nil || !strings.Contains(err.Error(), `of the kept ones holds lists`) {
		t.Errorf("kept: %v", err)
	}
	file = arrowImages(t, imageColumns[0].typ, imageColumns[0].add, rows[:1])
	if _, err := open(tensor.Shape{4}); err == nil || !strings.Contains(err.Error(), "examples are 6, want 4") {
		t.Errorf("another length: %v", err)
	}
}
