package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// pages is a column chunk of Parquet as whoever writes it likes.
type pages struct {
	kind       format.Type
	repetition format.FieldRepetitionType
	codec      format.CompressionCodec
	rows       int64
	values     int64 // of the chunk; 0: rows
	list       []page
	change     func(*format.FileMetaData)
}

// page is one page, its header before what it is said to be.
type page struct {
	header  format.PageHeader
	payload []byte
}

func compact(t *testing.T, v any) []byte {
	t.Helper()
	b, err := thrift.Marshal(&thrift.CompactProtocol{}, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dataPageV1 is one of values numbers in an encoding, whose sizes are as they are but for
// plain, what it unpacks to.
func dataPageV1(values int32, encoding format.Encoding, plain int, payload []byte) page {
	h := format.PageHeader{Type: format.DataPage, CompressedPageSize: int32(len(payload)), UncompressedPageSize: int32(plain)}
	h.DataPageHeader = thrift.New(format.DataPageHeader{NumValues: values, Encoding: encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})
	return page{h, payload}
}

func (p pages) file(t *testing.T) []byte {
	t.Helper()
	out := []byte("PAR1")
	dictionary := int64(0)
	for i, one := range p.list {
		if i == 0 && one.header.Type == format.DictionaryPage {
			dictionary = int64(len(out))
		}
		out = append(append(out, compact(t, one.header)...), one.payload...)
	}
	if p.values == 0 {
		p.values = p.rows
	}
	size := int64(len(out) - 4)
	m := format.FileMetaData{Version: 1, NumRows: p.rows, Schema: []format.SchemaElement{
		{Name: "schema", NumChildren: thrift.New[int32](1)},
		{Name: "a", Type: thrift.New(p.kind), RepetitionType: thrift.New(p.repetition)},
	}}
	m.RowGroups = []format.RowGroup{{NumRows: p.rows, TotalByteSize: size, Columns: []format.ColumnChunk{{FileOffset: 4, MetaData: format.ColumnMetaData{
		Type: p.kind, Encoding: []format.Encoding{format.Plain}, PathInSchema: []string{"a"}, Codec: p.codec, NumValues: p.values,
		TotalUncompressedSize: size, TotalCompressedSize: size, DataPageOffset: 4, DictionaryPageOffset: dictionary,
	}}}}}
	if p.change != nil {
		p.change(&m)
	}
	return withFooter(out, compact(t, m))
}

func withFooter(head, footer []byte) []byte {
	out := append(bytes.Clone(head), footer...)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(footer))), "PAR1"...)
}

// hostileParquet are tables of Parquet.
func hostileParquet(t *testing.T) []hostile {
	t.Helper()
	rows := func(data []byte) met { return file("x.parquet", data, 1, "read", "rows", "x.parquet") }
	detect := func(data []byte) met {
		return file("x.parquet", data, 1, "detect", "GUARD", "--data", "x.parquet", "--quiet")
	}
	one := func(values int32, encoding format.Encoding, plain int, payload []byte) pages {
		return pages{kind: format.Double, rows: int64(values), list: []page{dataPageV1(values, encoding, plain, payload)}}
	}
	claims := func(change func(*format.PageHeader)) []byte {
		p := one(8, format.Plain, 64, make([]byte, 64))
		change(&p.list[0].header)
		return p.file(t)
	}
	packed := func(codec format.CompressionCodec, payload []byte) []byte {
		p := one(8, format.Plain, 64, payload)
		p.codec = codec
		return p.file(t)
	}
	footer := func(change func(*format.FileMetaData)) []byte {
		p := one(8, format.Plain, 64, make([]byte, 64))
		p.change = change
		return p.file(t)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	const gib = 1 << 30
	// A list's levels: a run of zeros begins as many rows, one of ones goes on with a row.
	levels := func(b []byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...) }
	run := func(n uint64, level byte) []byte { return append(binary.AppendUvarint(nil, n<<1), level) }
	endless := pages{kind: format.Double, repetition: format.Repeated, rows: 1, values: 40 << 20}
	empty := append([]byte{1}, run(1<<24, 0)...) // places of a dictionary, in one bit: all the first
	endless.list = append(endless.list, page{header: format.PageHeader{Type: format.DictionaryPage, CompressedPageSize: 8, UncompressedPageSize: 8,
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: 1, Encoding: format.Plain})}, payload: make([]byte, 8)})
	for i := range 40 {
		const n = 1 << 20
		repetition := run(n, 1)
		if i == 0 {
			repetition = append(run(1, 0), run(n-1, 1)...)
		}
		payload := append(levels(repetition), append(levels(run(n, 1)), empty...)...)
		endless.list = append(endless.list, dataPageV1(n, format.RLEDictionary, len(payload), payload))
	}
	texts := slices.Concat(prefixes(1<<20, 1<<20), suffixes(1<<20, 1<<20), bytes.Repeat([]byte("x"), 1<<20))
	shared := pages{kind: format.ByteArray, rows: 1 << 20, list: []page{dataPageV1(1<<20, format.DeltaByteArray, len(texts), texts)}, change: func(m *format.FileMetaData) {
		m.Schema[1].LogicalType.Value = &format.DecimalType{Precision: 9} // numbers, written in bytes
	}}
	named := func(name string) []byte {
		return footer(func(m *format.FileMetaData) {
			m.Schema[1].Name = name
			m.RowGroups[0].Columns[0].MetaData.PathInSchema = []string{name}
		})
	}
	nest := func(n int) func(*format.FileMetaData) {
		return func(m *format.FileMetaData) {
			leaf := m.Schema[1]
			m.Schema = m.Schema[:1:1]
			for range n {
				m.Schema = append(m.Schema, format.SchemaElement{Name: "g", NumChildren: thrift.New[int32](1), RepetitionType: thrift.New(format.Required)})
			}
			m.Schema = append(m.Schema, leaf)
		}
	}
	// A list of Thrift: field 2 of the footer, of structs, as many as it likes.
	list := append([]byte{0x15, 0x02, 0x19, 0xfc}, binary.AppendUvarint(nil, math.MaxInt32)...)
	header := func(b []byte) []byte { // one page whose header is b
		p := one(8, format.Plain, 64, nil)
		p.list = nil
		p.change = func(m *format.FileMetaData) {
			c := &m.RowGroups[0].Columns[0].MetaData
			c.TotalCompressedSize, c.TotalUncompressedSize = int64(len(b)), int64(len(b))
		}
		whole := p.file(t)
		return append(append([]byte("PAR1"), b...), whole[4:]...)
	}
	return []hostile{
		{"parquet", "footer: a list of 2^31 columns", rows(withFooter([]byte("PAR1"), list)), "claims 2147483647 values"},
		{"parquet", "footer: 5 million structs in each other", rows(withFooter([]byte("PAR1"), bytes.Repeat([]byte{0x1c}, 5<<20))), "nested more than 32 deep"},
		{"parquet", "footer: a million empty columns", rows(withFooter([]byte("PAR1"), append(append([]byte{0x15, 0x02, 0x19, 0xfc}, binary.AppendUvarint(nil, 1<<20)...), make([]byte, 2<<20)...))), "more than 524288 values in lists"},
		{"parquet", "footer: a name of 2 GiB", rows(withFooter([]byte("PAR1"), append([]byte{0x15, 0x02, 0x68}, binary.AppendUvarint(nil, math.MaxInt32)...))), "truncated, or longer than it says"},
		{"parquet", "columns in each other, 60,000 deep", rows(footer(nest(60_000))), "columns nested more than 64 deep"},
		{"parquet", "column of 2^31 columns", rows(footer(func(m *format.FileMetaData) { m.Schema[0].NumChildren.V = math.MaxInt32 })), `column "schema" claims 2147483647 columns within, 1 follow`},
		{"parquet", "columns that belong to none", rows(footer(func(m *format.FileMetaData) { m.Schema = append(m.Schema, m.Schema[1]) })), "columns that belong to none"},
		{"parquet", "100,000 row groups without a column", rows(footer(func(m *format.FileMetaData) {
			m.RowGroups = append(m.RowGroups, make([]format.RowGroup, 100_000)...)
		})), "row group 1 has 0 columns, the schema 1"},
		{"parquet", "2^40 rows, of which there are eight", rows(footer(func(m *format.FileMetaData) { m.NumRows, m.RowGroups[0].NumRows = 1<<40, 1<<40 })), "rows"},
		{"parquet", "minus one row", rows(footer(func(m *format.FileMetaData) { m.NumRows, m.RowGroups[0].NumRows = -1, -1 })), "rows"},
		{"parquet", "pages beyond the file", rows(footer(func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.DataPageOffset = 1 << 40 })), "claims bytes 1099511627776"},
		{"parquet", "compression by Hadoop's LZ4", rows(footer(func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.Codec = format.Lz4 })), "compression LZ4"},
		{"parquet", "page header: 2 million structs in each other", rows(header(bytes.Repeat([]byte{0x1c}, 2<<20))), "page header: structs nested more than 32 deep"},
		{"parquet", "page header: bytes of 2 GiB", rows(header(append([]byte{0x18}, binary.AppendUvarint(nil, math.MaxInt32)...))), "page header: truncated"},
		{"parquet", "page of minus one byte", rows(claims(func(h *format.PageHeader) { h.CompressedPageSize = -1 })), "a page of -1 bytes claims"},
		{"parquet", "page of 2 GiB unpacked", rows(claims(func(h *format.PageHeader) { h.UncompressedPageSize = math.MaxInt32 })), "in 2147483647 bytes"},
		{"parquet", "page of 2^31 values", rows(claims(func(h *format.PageHeader) { h.DataPageHeader.V.NumValues = math.MaxInt32 })), "claims 2147483647 values"},
		{"parquet", "page of a type that does not exist", rows(claims(func(h *format.PageHeader) { h.Type = 77 })), "row 0: "},
		{"parquet", "encoding that does not exist", rows(claims(func(h *format.PageHeader) { h.DataPageHeader.V.Encoding = 77 })), "row 0: "},
		{"parquet", "dictionary that is not there", rows(claims(func(h *format.PageHeader) { h.DataPageHeader.V.Encoding = format.RLEDictionary })), "row 0: "},
		{"parquet", "zstd bomb: 1 GiB in a page of 64 bytes", rows(packed(format.Zstd, bytes.Repeat(z.EncodeAll(make([]byte, 64<<20), nil), gib>>26))), "unpacks to more than the 64 it claims"},
		{"parquet", "gzip bomb: 256 MiB in a page of 64 bytes", rows(packed(format.Gzip, packedZeros(256<<20))), "unpacks to more than the 64 it claims"},
		{"parquet", "snappy bomb: 4 GiB in a page of 64 bytes", rows(packed(format.Snappy, binary.AppendUvarint(nil, math.MaxUint32))), "unpacks to more than the 64 it claims"},
		{"parquet", "LZ4 that is no LZ4", rows(packed(format.Lz4Raw, bytes.Repeat([]byte{0xff}, 1000))), "corrupt, or unpacks to more than the 64 it claims"},
		{"parquet", "row of 40 million values, in runs", rows(endless.file(t)), "a row of more than 4194304 values"},
		{"parquet", "a million texts of 1 MiB that begin alike", rows(shared.file(t)), "holds texts of more than 268435456"},
		{"parquet", "2^31 deltas", rows(one(8, format.DeltaBinaryPacked, 0, append([]byte{128, 1, 4}, binary.AppendUvarint(nil, math.MaxInt32)...)).file(t)), "row 0: "},
		{"parquet", "a name of 1 MiB", detect(named(strings.Repeat("x", 1<<20))), "no column"},
		{"parquet", "a name with escapes", detect(named(forged)), "no column"},
	}
}

// prefixes are n-1 lengths of size after a first of none; suffixes the other way round.
func prefixes(n int, size int64) []byte { return step(n, 0, size) }
func suffixes(n int, size int64) []byte { return step(n, size, -size) }

// step is DELTA_BINARY_PACKED of first, and then first + change again and again.
func step(n int, first, change int64) []byte {
	b := []byte{128, 1, 4}
	b = binary.AppendVarint(binary.AppendUvarint(b, uint64(n)), first)
	// The first block: the least change, and in 22 bits what is added to it, which is
	// there for the first number alone.
	for i := 1; i < n; i += 128 {
		if i > 1 || change == 0 {
			b = append(binary.AppendVarint(b, 0), 0, 0, 0, 0)
			continue
		}
		const width = 22
		part := make([]byte, 32*width/8)
		put := func(at int, v uint64) {
			for bit := range width {
				if v>>bit&1 == 1 {
					part[(at*width+bit)/8] |= 1 << ((at*width + bit) % 8)
				}
			}
		}
		if change > 0 {
			b = append(binary.AppendVarint(b, 0), width, 0, 0, 0)
			put(0, uint64(change))
			b = append(b, part...)
			continue
		}
		b = append(binary.AppendVarint(b, change), width, width, width, width)
		for i := range 32 {
			put(i, uint64(-change))
		}
		rest := bytes.Clone(part)
		clear(part)
		for i := 1; i < 32; i++ {
			put(i, uint64(-change))
		}
		b = append(append(append(append(b, part...), rest...), rest...), rest...)
	}
	return b
}

// packedZeros is gzip of so many.
func packedZeros(n int64) []byte { return packed(nil, n) }
