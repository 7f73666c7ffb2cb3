package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

type record struct {
	A int32     `parquet:"a"`
	B float64   `parquet:"b"`
	C []float32 `parquet:"c,list"`
	D string    `parquet:"d"`
}

func table(t *testing.T, options ...pq.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	rows := []record{{1, 0.5, []float32{1, 2}, "x"}, {2, 1.5, []float32{3}, "y"}}
	if err := pq.Write(&b, rows, options...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(b []byte) (*Table, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func TestNext(t *testing.T) {
	tab, err := open(table(t))
	if err != nil {
		t.Fatal(err)
	}
	if c := tab.Columns(); len(c) != 4 || c[2].Name != "c" || !c[2].List || !c[3].Text || tab.NumRows() != 2 {
		t.Fatalf("columns %+v of %d rows", c, tab.NumRows())
	}
	for i, want := range [][]float64{{1, 0.5, 1, 2}, {2, 1.5, 3}} {
		cells, err := tab.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(cells) != len(want)+1 {
			t.Fatalf("row %d has %d cells, want %d", i, len(cells), len(want)+1)
		}
		for j, v := range want {
			if cells[j].Number != v {
				t.Errorf("row %d cell %d = %v, want %v", i, j, cells[j].Number, v)
			}
		}
		if text := cells[len(want)].Text; text != []string{"x", "y"}[i] {
			t.Errorf("row %d text %q", i, text)
		}
	}
	if _, err := tab.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last row: %v", err)
	}
	if err := tab.Close(); err != nil {
		t.Error(err)
	}
}

func TestCodecs(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, codec := range []compress.Codec{&pq.Uncompressed, &pq.Snappy, &pq.Gzip, &pq.Brotli, &pq.Zstd, &pq.Lz4Raw} {
			tab, err := open(table(t, pq.Compression(codec), pq.DataPageVersion(version)))
			if err != nil {
				t.Errorf("%v, pages of version %d: %v", codec, version, err)
				continue
			}
			for range 2 {
				if _, err := tab.Next(); err != nil {
					t.Errorf("%v, pages of version %d: %v", codec, version, err)
				}
			}
		}
	}
}

// Pages that unpack to more than they say: 1 MiB of zeros.
func TestUnpacks(t *testing.T) {
	zeros := make([]byte, 1<<20)
	for _, codec := range []compress.Codec{&pq.Snappy, &pq.Brotli, &pq.Zstd, &pq.Lz4Raw} {
		page, err := codec.Encode(nil, zeros)
		if err != nil {
			t.Fatal(err)
		}
		if err := unpacks(page, 1<<20, codec.CompressionCodec()); err != nil {
			t.Errorf("%v: %v", codec, err)
		}
		if err := unpacks(page, 1<<20-1, codec.CompressionCodec()); err == nil {
			t.Errorf("%v: a page that unpacks to more than it claims passed", codec)
		}
	}
}

func TestRefused(t *testing.T) {
	good := table(t)
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge[len(huge)-8:], 1<<31)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "truncated"},
		{"truncated", good[:len(good)-1], "not a Parquet file"},
		{"trailing bytes", append(bytes.Clone(good), 0), "not a Parquet file"},
		{"huge footer", huge, "the footer claims 2147483648 bytes"},
	} {
		if _, err := open(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestPoint(t *testing.T) {
	for _, c := range []struct {
		digits string
		scale  int
		want   string
	}{{"125", 2, "1.25"}, {"-5", 2, "-0.05"}, {"7", 0, "7"}, {"0", 3, "0.000"}, {"NaN", 2, "NaN"}} {
		if got := point(c.digits, c.scale); got != c.want {
			t.Errorf("%s with scale %d is %s, want %s", c.digits, c.scale, got, c.want)
		}
	}
	for want, b := range map[string][]byte{"-1": {0xff, 0xff}, "256": {1, 0}, "-128": {0x80}, "0": nil} {
		if got := signed(b); got != want {
			t.Errorf("%v is %s, want %s", b, got, want)
		}
	}
}

// Values of IEEE 754, table 3.5: one, a fraction, the least, the largest, the
// least normal one, infinity.
func TestFloat16(t *testing.T) {
	for _, c := range []struct {
		bits uint16
		want float64
	}{{0x3c00, 1}, {0xbd00, -1.25}, {1, 0x1p-24}, {0x7bff, 65504}, {0x0400, 0x1p-14}, {0x7c00, math.Inf(1)}, {0x8000, 0}} {
		b := binary.LittleEndian.AppendUint16(nil, c.bits)
		if got := float16(pq.FixedLenByteArrayValue(b)); got != c.want {
			t.Errorf("%#x is %v, want %v", c.bits, got, c.want)
		}
	}
	if v := float16(pq.FixedLenByteArrayValue([]byte{1, 0x7c})); v == v {
		t.Errorf("%v, want NaN", v)
	}
}
