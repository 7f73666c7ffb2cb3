package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// The members of the union of Arrow's Message.fbs, and codecs of its buffers.
const (
	arrowDictionary, arrowBatch = 2, 3
	arrowPlain                  = -1
	arrowLZ4, arrowZstd         = 0, 1
)

// lie is a batch in Arrow's IPC format as whoever writes it likes, true or not.
type lie struct {
	rows    int64
	nodes   [][2]int64 // of each field: values and nulls
	buffers [][2]int64 // of each buffer: offset and length
	codec   int
	body    []byte
	length  int64  // of the body; 0: as it is
	id      int64  // of a dictionary
	kind    byte   // 0: arrowBatch
	pairs   uint32 // of metadata, that are not there
}

func (l lie) message() []byte {
	b := flatbuffers.NewBuilder(0)
	pairs := func(list [][2]int64) flatbuffers.UOffsetT {
		b.StartVector(16, len(list), 8)
		for i := len(list) - 1; i >= 0; i-- {
			b.Prep(8, 16)
			b.PrependInt64(list[i][1])
			b.PrependInt64(list[i][0])
		}
		return b.EndVector(len(list))
	}
	nodes, buffers := pairs(l.nodes), pairs(l.buffers)
	var codec flatbuffers.UOffsetT
	if l.codec != arrowPlain {
		b.StartObject(2)
		b.PrependInt8Slot(0, int8(l.codec), -1)
		codec = b.EndObject()
	}
	b.StartObject(4)
	b.PrependInt64Slot(0, l.rows, 0)
	b.PrependUOffsetTSlot(1, nodes, 0)
	b.PrependUOffsetTSlot(2, buffers, 0)
	if codec != 0 {
		b.PrependUOffsetTSlot(3, codec, 0)
	}
	header := b.EndObject()
	if l.kind == 0 {
		l.kind = arrowBatch
	}
	if l.kind == arrowDictionary {
		b.StartObject(3)
		b.PrependInt64Slot(0, l.id, -1)
		b.PrependUOffsetTSlot(1, header, 0)
		header = b.EndObject()
	}
	for len(l.body)%8 != 0 {
		l.body = append(l.body[:len(l.body):len(l.body)], 0)
	}
	if l.length == 0 {
		l.length = int64(len(l.body))
	}
	var metadata flatbuffers.UOffsetT
	if l.pairs != 0 {
		b.StartVector(4, 0, 4)
		metadata = b.EndVector(0)
		binary.LittleEndian.PutUint32(b.Bytes[b.Head():], l.pairs)
	}
	const version5 = 4
	b.StartObject(5)
	b.PrependInt16Slot(0, version5, 0)
	b.PrependByteSlot(1, l.kind, 0)
	b.PrependUOffsetTSlot(2, header, 0)
	b.PrependInt64Slot(3, l.length, 0)
	b.PrependUOffsetTSlot(4, metadata, 0)
	b.Finish(b.EndObject())
	text := b.FinishedBytes()
	for len(text)%8 != 0 {
		text = append(text[:len(text):len(text)], 0)
	}
	out := binary.LittleEndian.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, uint32(len(text)))
	return append(append(out, text...), l.body...)
}

// arrowStream is a stream of a schema and what is said to follow.
func arrowStream(t *testing.T, fields []arrow.Field, batches ...lie) []byte {
	t.Helper()
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(arrow.NewSchema(fields, nil)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const end = 8
	out := bytes.Clone(b.Bytes()[:b.Len()-end])
	for _, l := range batches {
		out = append(out, l.message()...)
	}
	return append(out, b.Bytes()[b.Len()-end:]...)
}

func int32s(v ...int32) []byte {
	var b []byte
	for _, n := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// zeros are n of them, packed again and again where the format allows.
func zeros(t *testing.T, codec int, n int64) []byte {
	t.Helper()
	const block = 64 << 20
	var b bytes.Buffer
	if codec == arrowLZ4 {
		w := lz4.NewWriter(&b)
		for left := n; left > 0; left -= block {
			if _, err := w.Write(make([]byte, min(left, block))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := w.EncodeAll(make([]byte, block), nil)
	return bytes.Repeat(frame, int(n/block))
}

// hostileArrow are tables in Arrow's IPC format.
func hostileArrow(t *testing.T) []hostile {
	t.Helper()
	rows := func(name string, data []byte) met { return file(name, data, 1, "read", "rows", name) }
	digits := func(name string, data []byte) met { return file(name, data, 1, "read", "digits", name) }
	number := []arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}
	column := func(of arrow.DataType) []arrow.Field {
		return []arrow.Field{{Name: "x", Type: of, Nullable: true}}
	}
	// one says of a batch of eight numbers what it likes.
	one := func(change func(*lie)) []byte {
		l := lie{rows: 8, nodes: [][2]int64{{8, 0}}, buffers: [][2]int64{{0, 0}, {0, 64}}, codec: arrowPlain, body: make([]byte, 64)}
		change(&l)
		return arrowStream(t, number, l)
	}
	packed := func(codec int, claim int64, data []byte) []byte {
		body := append(binary.LittleEndian.AppendUint64(nil, uint64(claim)), data...)
		n := max(1, claim/8)
		return arrowStream(t, number, lie{rows: n, nodes: [][2]int64{{n, 0}}, buffers: [][2]int64{{0, 0}, {0, int64(len(body))}}, codec: codec, body: body})
	}
	good := one(func(*lie) {})
	list := column(arrow.ListOf(arrow.Null))
	words := column(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.PrimitiveTypes.Float64})
	wide := make([]arrow.Field, 70_000)
	deep := arrow.ListOf(arrow.PrimitiveTypes.Float64)
	for range 39 {
		deep = arrow.ListOf(deep)
	}
	var huge []arrow.Field
	for i := range 300 {
		huge = append(huge, arrow.Field{Name: strings.Repeat("x", i+1), Type: arrow.FixedSizeListOf(1<<22, arrow.PrimitiveTypes.Float32)})
	}
	for i := range wide {
		wide[i] = number[0]
	}
	return []hostile{
		{"arrow", "stream cut in its schema", rows("x.arrows", good[:60]), "truncated: the schema does not end"},
		{"arrow", "schema of 2 GiB", rows("x.arrows", append([]byte("\xff\xff\xff\xff"), int32s(math.MaxInt32)...)), "a schema of 2147483647 bytes"},
		{"arrow", "schema of minus one byte", rows("x.arrows", append([]byte("\xff\xff\xff\xff"), int32s(-1)...)), "a schema of -1 bytes"},
		{"arrow", "70,000 columns", rows("x.arrows", arrowStream(t, wide)), "more than 65536 columns"},
		{"arrow", "lists in lists, 40 deep", rows("x.arrows", arrowStream(t, column(deep))), "nested more than 32 deep"},
		{"arrow", "lists that together hold 2^30 numbers a row", rows("x.arrows", arrowStream(t, huge)), "more than 4194304 numbers a row"},
		{"arrow", "2^31 pairs of metadata that are not there", rows("x.arrows", arrowStream(t, number, lie{pairs: 1 << 31, codec: arrowPlain})), "names and metadata of more than 67108864 bytes"},
		{"arrow", "stream cut in a batch", rows("x.arrows", good[:len(good)-30]), "batch 0: "},
		{"arrow", "file without its end", rows("x.arrow", append([]byte("ARROW1\x00\x00"), good...)), "truncated: the footer does not end"},
		{"arrow", "bytes after the end", rows("x.arrows", append(bytes.Clone(good), "more"...)), "trailing bytes after the end of the stream"},
		{"arrow", "metadata of 1 GiB", rows("x.arrows", append(good[:len(good)-8:len(good)-8], append([]byte("\xff\xff\xff\xff"), int32s(1<<30)...)...)), "batch 1: "},
		{"arrow", "body of 2^40 bytes", rows("x.arrows", one(func(l *lie) { l.length = 1 << 40 })), "batch 0: "},
		{"arrow", "body of minus eight bytes", rows("x.arrows", one(func(l *lie) { l.length = -8 })), "batch 0: "},
		{"arrow", "buffer of 2^40 bytes", rows("x.arrows", one(func(l *lie) { l.buffers[1][1] = 1 << 40 })), "batch 0: "},
		{"arrow", "buffer of minus one byte", rows("x.arrows", one(func(l *lie) { l.buffers[1][1] = -1 })), "batch 0: "},
		{"arrow", "buffer beyond the body", rows("x.arrows", one(func(l *lie) { l.buffers[1][0] = 1 << 62 })), "batch 0: "},
		{"arrow", "buffer that is missing", rows("x.arrows", one(func(l *lie) { l.buffers = l.buffers[:1] })), "batch 0: "},
		{"arrow", "column of 2^40 values in 64 bytes", rows("x.arrows", one(func(l *lie) { l.nodes[0][0] = 1 << 40 })), "batch 0: "},
		{"arrow", "column of minus eight values", rows("x.arrows", one(func(l *lie) { l.nodes[0][0] = -8 })), "batch 0: "},
		{"arrow", "batch of 2^40 rows of nothing", rows("x.arrows", arrowStream(t, column(arrow.Null), lie{rows: 1 << 40, nodes: [][2]int64{{1 << 40, 1 << 40}}, codec: arrowPlain})),
			"1099511627776 rows, want at most 16777216"},
		{"arrow", "row of 2^31 nulls", rows("x.arrows", arrowStream(t, list, lie{rows: 1, nodes: [][2]int64{{1, 0}, {math.MaxInt32, math.MaxInt32}},
			buffers: [][2]int64{{0, 0}, {0, 8}}, codec: arrowPlain, body: int32s(0, math.MaxInt32)})), "a row of more than 4194304 values"},
		{"arrow", "list that ends before it begins", rows("x.arrows", arrowStream(t, column(arrow.ListOf(arrow.PrimitiveTypes.Int8)), lie{rows: 1, nodes: [][2]int64{{1, 0}, {2, 0}},
			buffers: [][2]int64{{0, 0}, {0, 8}, {0, 0}, {8, 2}}, codec: arrowPlain, body: append(int32s(5, -5), 1, 2)})), "row 0: "},
		{"arrow", "bytes beyond the others", digits("x.arrows", arrowStream(t, column(arrow.BinaryTypes.Binary), lie{rows: 1, nodes: [][2]int64{{1, 0}},
			buffers: [][2]int64{{0, 0}, {0, 8}, {8, 4}}, codec: arrowPlain, body: append(int32s(0, 1<<30), "text"...)})), "row 0: "},
		{"arrow", "zstd of 2^40 bytes in ten", rows("x.arrows", packed(arrowZstd, 1<<40, []byte("0123456789"))), "bytes more for one batch, want at most"},
		{"arrow", "zstd of minus five bytes", rows("x.arrows", packed(arrowZstd, -5, []byte("0123456789"))), "batch 0: "},
		{"arrow", "zstd bomb: 1 GiB of zeros", rows("x.arrows", packed(arrowZstd, 1<<30, zeros(t, arrowZstd, 1<<30))), "bytes more for one batch, want at most"},
		{"arrow", "zstd bomb that claims 64 bytes", rows("x.arrows", packed(arrowZstd, 64, zeros(t, arrowZstd, 1<<30))), ""},
		{"arrow", "LZ4 bomb: 1 GiB of zeros", rows("x.arrows", packed(arrowLZ4, 1<<30, zeros(t, arrowLZ4, 1<<30))), "bytes more for one batch, want at most"},
		{"arrow", "LZ4 that is cut", rows("x.arrows", packed(arrowLZ4, 1<<20, zeros(t, arrowLZ4, 1<<20)[:500])), "batch 0: "},
		{"arrow", "compression that does not exist", rows("x.arrows", packed(9, 64, make([]byte, 64))), "batch 0: "},
		{"arrow", "dictionary that never comes", rows("x.arrows", arrowStream(t, words, lie{rows: 1, nodes: [][2]int64{{1, 0}}, buffers: [][2]int64{{0, 0}, {0, 4}}, codec: arrowPlain, body: int32s(0)})), "batch 0: "},
		{"arrow", "place beyond the dictionary", rows("x.arrows", arrowStream(t, words,
			lie{kind: arrowDictionary, rows: 1, nodes: [][2]int64{{1, 0}}, buffers: [][2]int64{{0, 0}, {0, 8}}, codec: arrowPlain, body: make([]byte, 8)},
			lie{rows: 1, nodes: [][2]int64{{1, 0}}, buffers: [][2]int64{{0, 0}, {0, 4}}, codec: arrowPlain, body: int32s(1 << 30)})), "row 0: "},
		{"arrow", "dictionary of 2^40 values in eight bytes", rows("x.arrows", arrowStream(t, words,
			lie{kind: arrowDictionary, rows: 1 << 40, nodes: [][2]int64{{1 << 40, 0}}, buffers: [][2]int64{{0, 0}, {0, 8}}, codec: arrowPlain, body: make([]byte, 8)},
			lie{rows: 1, nodes: [][2]int64{{1, 0}}, buffers: [][2]int64{{0, 0}, {0, 4}}, codec: arrowPlain, body: int32s(0)})), "row 0: "},
		{"arrow", "two schemas", rows("x.arrows", append(good[:len(good)-8:len(good)-8], good...)), "batch 1: "},
		{"arrow", "rows of time", rows("x.arrows", arrowStream(t, column(arrow.FixedWidthTypes.Timestamp_s))), `column "x" is of type timestamp`},
		{"arrow", "a row without a value", rows("x.arrows", arrowStream(t, column(arrow.Null), lie{rows: 1, nodes: [][2]int64{{1, 1}}, codec: arrowPlain})), "no value"},
	}
}
