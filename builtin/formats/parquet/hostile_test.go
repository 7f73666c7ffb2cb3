package parquet

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/delta"
)

// TestThriftSize: the walker finds the end of what was written, cut anywhere it says so,
// and what claims more than there is, or is nested, is refused without a decoder.
func TestThriftSize(t *testing.T) {
	whole := table(t)
	n := int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	footer := whole[len(whole)-8-n : len(whole)-8]
	if got, err := thriftSize(append(bytes.Clone(footer), 1, 2, 3)); err != nil || got != n {
		t.Errorf("a footer of %d bytes is %d, %v", n, got, err)
	}
	for i := range n {
		if got, err := thriftSize(footer[:i]); err == nil {
			t.Fatalf("%d of %d bytes passed, as %d", i, n, got)
		}
	}
	for what, c := range map[string]struct {
		b    []byte
		want string
	}{
		"list":    {append([]byte{0x19, 0xfc}, binary.AppendUvarint(nil, math.MaxInt32)...), "claims 2147483647 values"},
		"map":     {append(append([]byte{0x1b}, binary.AppendUvarint(nil, 1<<40)...), 0x88, 1), "claims 1099511627776 values"},
		"text":    {append([]byte{0x18}, binary.AppendUvarint(nil, math.MaxUint64)...), "longer than it says"},
		"structs": {bytes.Repeat([]byte{0x1c}, 1<<20), "nested more than 32 deep"},
		"lists":   {append([]byte{0x19}, bytes.Repeat([]byte{0x19}, 1<<20)...), "nested more than 32 deep"},
		"empty":   {append(append([]byte{0x19, 0xfc}, binary.AppendUvarint(nil, maxStructs+1)...), make([]byte, maxStructs+2)...), "values in lists"},
		"type":    {[]byte{0x1e, 0}, "of type 14"},
	} {
		if _, err := thriftSize(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// TestRows counts the values of rows in runs and in bits.
func TestRows(t *testing.T) {
	bits := func(levels ...byte) []byte { // of one bit each, in groups of eight
		b := binary.AppendUvarint(nil, uint64(len(levels)/8)<<1|1)
		for i := 0; i < len(levels); i += 8 {
			v := byte(0)
			for k := range 8 {
				v |= levels[i+k] << k
			}
			b = append(b, v)
		}
		return b
	}
	run := func(n uint64, level byte) []byte { return append(binary.AppendUvarint(nil, n<<1), level) }
	for what, c := range map[string]struct {
		b       []byte
		n, want int
		fault   string
	}{
		"bits":        {bits(0, 1, 1, 0, 1, 1, 1, 0), 8, 4, ""},
		"rows of one": {run(1000, 0), 1000, 1, ""},
		"both":        {append(run(1, 0), append(run(5, 1), bits(1, 1, 0, 0, 0, 0, 0, 0)...)...), 14, 8, ""},
		"endless":     {append(run(1, 0), run(maxRow, 1)...), maxRow + 1, 0, "a row of more than"},
		"cut":         {run(5, 0), 6, 0, "corrupt"},
		"no run":      {run(0, 0), 6, 0, "corrupt"},
	} {
		var r rows
		err := r.count(c.b, c.n, 1)
		if c.fault == "" && (err != nil || r.longest != c.want) || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: %d, %v, want %d and %q", what, r.longest, err, c.want, c.fault)
		}
	}
}

// TestDeltas adds up what the library wrote.
func TestDeltas(t *testing.T) {
	for _, lengths := range [][]int32{nil, {7}, {5, 5, 5}, {1, 1000, 0, 70000, 3}, make([]int32, 300)} {
		sum := int64(0)
		for _, n := range lengths {
			sum += int64(n)
		}
		b, err := (&delta.BinaryPackedEncoding{}).EncodeInt32(nil, lengths)
		if err != nil {
			t.Fatal(err)
		}
		got, rest, err := deltas(append(b, "rest"...), len(lengths))
		if err != nil || got != sum || string(rest) != "rest" {
			t.Errorf("%d lengths: %d, %q, %v, want %d", len(lengths), got, rest, err, sum)
		}
		if _, _, err := deltas(b, len(lengths)-1); len(lengths) > 0 && err == nil {
			t.Errorf("%d lengths pass for one less", len(lengths))
		}
	}
}

// TestEncodings reads what writers of other encodings write: none is refused.
func TestEncodings(t *testing.T) {
	type row struct {
		I int64   `parquet:"i,delta"`
		L string  `parquet:"l,delta"`
		D string  `parquet:"d,dict"`
		F float64 `parquet:"f,split"`
		R []int64 `parquet:"r,list"`
	}
	want := make([]row, 3000)
	for i := range want {
		want[i] = row{int64(i) * math.MaxInt32 * 1000, strings.Repeat("text ", i%7), strings.Repeat("d", i%3), float64(i) / 3, make([]int64, i%40)}
	}
	for _, version := range []int{1, 2} {
		var b bytes.Buffer
		if err := pq.Write(&b, want, pq.DataPageVersion(version), pq.Compression(&pq.Gzip)); err != nil {
			t.Fatal(err)
		}
		tab, err := open(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			cells, err := tab.Next()
			if err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
			if int64(cells[0].Number) != int64(float64(w.I)) || cells[1].Text != w.L || cells[2].Text != w.D || cells[3].Number != w.F || len(cells) != 4+max(len(w.R), 1) {
				t.Fatalf("row %d is %+v, want %+v", i, cells, w)
			}
		}
	}
}
