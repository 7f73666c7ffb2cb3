package arrow_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	reader "github.com/vaeguard/vaeguard/builtin/formats/arrow"
)

// Numbers gives what Next gives, of each layout and of slices of batches, and
// leaves to Next what is missing, of another length or no float.
func TestNumbers(t *testing.T) {
	f32, f64, u8 := arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Uint8
	for name, c := range map[string]struct {
		types []arrow.DataType
		sizes []int
		json  string
		fast  int // rows that Numbers gives of those from the second on
	}{
		"lists of one length": {[]arrow.DataType{arrow.FixedSizeListOf(2, f32)}, []int{2}, `[{"a":[1,2.5]},{"a":[3,0.1]},{"a":[5,6]},{"a":[7,1e38]}]`, 3},
		"in lists":            {[]arrow.DataType{arrow.FixedSizeListOf(2, arrow.FixedSizeListOf(2, f64))}, []int{4}, `[{"a":[[1,2],[3,0.1]]},{"a":[[5,6],[7,8]]},{"a":[[9,10],[11,12]]}]`, 2},
		"lists":               {[]arrow.DataType{arrow.ListOf(u8)}, []int{3}, `[{"a":[1,2,3]},{"a":[4,5,255]},{"a":[7]},{"a":[8,9,10]}]`, 2},
		"lists of lists":      {[]arrow.DataType{arrow.ListOf(arrow.FixedSizeListOf(2, f32))}, []int{4}, `[{"a":[[1,2],[3,4]]},{"a":[[5,6],[7,8]]}]`, 0},
		"columns":             {[]arrow.DataType{f32, f64, u8}, []int{1, 1, 1}, `[{"a":1,"b":0.1,"c":3},{"a":4,"b":1e300,"c":6},{"a":7,"b":8,"c":9}]`, 2},
		"a null":              {[]arrow.DataType{f32, f64}, []int{1, 1}, `[{"a":1,"b":2},{"a":null,"b":4},{"a":7,"b":8}]`, 0},
		"a null in a list":    {[]arrow.DataType{arrow.FixedSizeListOf(2, f32)}, []int{2}, `[{"a":[1,2]},{"a":[3,null]}]`, 0},
		"a null for a list":   {[]arrow.DataType{arrow.FixedSizeListOf(2, f32)}, []int{2}, `[{"a":[1,2]},{"a":null},{"a":[3,4]}]`, 0},
		"integers":            {[]arrow.DataType{f32, arrow.PrimitiveTypes.Int64}, []int{1, 1}, `[{"a":1,"b":2},{"a":3,"b":4}]`, 0},
		"text":                {[]arrow.DataType{f32, arrow.BinaryTypes.String}, []int{1, 1}, `[{"a":1,"b":"2"},{"a":3,"b":"4"}]`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var fields []arrow.Field
			for i, typ := range c.types {
				fields = append(fields, arrow.Field{Name: string(rune('a' + i)), Type: typ, Nullable: true})
			}
			schema := arrow.NewSchema(fields, nil)
			all, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, bytes.NewReader([]byte(c.json)))
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			w := ipc.NewWriter(&text, ipc.WithSchema(schema))
			for _, batch := range []arrow.RecordBatch{all, all.NewSlice(1, all.NumRows()), all.NewSlice(0, 0)} {
				if err := w.Write(batch); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			open := func() *reader.Table {
				r, err := reader.Open(bufio.NewReader(bytes.NewReader(text.Bytes())), -1)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			slow, quick := open(), open()
			width, fast := 0, 0
			for _, n := range c.sizes {
				width += n
			}
			dst := make([]float32, width)
			for {
				ok, errQuick := quick.Numbers(dst, c.sizes)
				if !ok && errQuick == nil {
					_, errQuick = quick.Next()
				}
				cells, err := slow.Next()
				if (err == nil) != (errQuick == nil) || errors.Is(err, io.EOF) != errors.Is(errQuick, io.EOF) || errors.Is(err, reader.ErrBatchEnd) != errors.Is(errQuick, reader.ErrBatchEnd) {
					t.Fatalf("Next ends with %v, Numbers with %v", err, errQuick)
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if !ok {
					continue
				}
				fast++
				if len(cells) != width {
					t.Fatalf("%d numbers are read, there are %d", width, len(cells))
				}
				for i, cell := range cells {
					if cell.Null || math.Float32bits(float32(cell.Number)) != math.Float32bits(dst[i]) {
						t.Errorf("number %d is %v, want %+v", i, dst[i], cell)
					}
				}
			}
			if want := 2*c.fast + min(c.fast, 1); fast != want {
				t.Errorf("%d rows are read at once, want %d", fast, want)
			}
		})
	}
}
