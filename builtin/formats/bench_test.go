package formats_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	benchRows = 256
	benchSize = 784
)

func benchNumbers() []float32 {
	rng := rand.New(rand.NewPCG(5, 5))
	x := make([]float32, benchRows*benchSize)
	for i := range x {
		x[i] = float32(rng.UintN(256)) / 255
	}
	return x
}

// benchStream reads rows of 784 numbers from standard input to the end, as detect
// does.
func benchStream(b *testing.B, format string, text []byte) {
	b.Helper()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	row := make([]float32, benchSize)
	for b.Loop() {
		s, err := dataset.OpenStream("-", formats.Table(), dataset.StreamOptions{Format: format, Example: tensor.Shape{benchSize}, Stdin: bytes.NewReader(text)})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for err = s.ReadRow(row); err == nil; err = s.ReadRow(row) {
			n++
		}
		if !errors.Is(err, io.EOF) || n != benchRows {
			b.Fatalf("%d rows: %v", n, err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

// As Python writes float32: with the digits of a float64.
func BenchmarkStreamJSONL(b *testing.B) {
	var text []byte
	for i, v := range benchNumbers() {
		switch {
		case i%benchSize == 0:
			text = append(text, '[')
		default:
			text = append(text, ", "...)
		}
		if text = strconv.AppendFloat(text, float64(v), 'g', -1, 64); i%benchSize == benchSize-1 {
			text = append(text, "]\n"...)
		}
	}
	benchStream(b, "jsonl", text)
}

func BenchmarkStreamCSV(b *testing.B) {
	var text []byte
	for j := range benchSize {
		text = append(strconv.AppendInt(append(text, 'c'), int64(j), 10), ',')
	}
	text[len(text)-1] = '\n'
	for i, v := range benchNumbers() {
		text = append(strconv.AppendFloat(text, float64(v), 'g', -1, 32), ',')
		if i%benchSize == benchSize-1 {
			text[len(text)-1] = '\n'
		}
	}
	benchStream(b, "csv", text)
}

func BenchmarkStreamNPY(b *testing.B) {
	var text bytes.Buffer
	if err := dataset.WriteNPY(&text, dataset.Array{Shape: []int{benchRows, benchSize}, Data: benchNumbers()}); err != nil {
		b.Fatal(err)
	}
	benchStream(b, "npy", text.Bytes())
}

func BenchmarkStreamArrow(b *testing.B) {
	x := benchNumbers()
	lists := array.NewFixedSizeListBuilder(memory.DefaultAllocator, benchSize, arrow.PrimitiveTypes.Float32)
	values := lists.ValueBuilder().(*array.Float32Builder)
	var text bytes.Buffer
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.FixedSizeListOf(benchSize, arrow.PrimitiveTypes.Float32)}}, nil)
	w := ipc.NewWriter(&text, ipc.WithSchema(schema))
	for i := range benchRows {
		lists.Append(true)
		values.AppendValues(x[i*benchSize:(i+1)*benchSize], nil)
		if i%64 == 63 {
			column := lists.NewArray()
			if err := w.Write(array.NewRecordBatch(schema, []arrow.Array{column}, 64)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	benchStream(b, "arrow", text.Bytes())
}
