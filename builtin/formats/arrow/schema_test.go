package arrow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"bufio"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	flatbuffers "github.com/google/flatbuffers/go"
)

// forged is a schema of n fields that share all that they have: a name, a type
// of Arrow's kind, and a vector that claims pairs of a key and a value.
type forged struct {
	fields, name int
	kind         byte   // of Type, 0: none
	zone         int    // bytes of a time zone
	ids          uint32 // type ids that a union claims
	pairs        uint32 // claimed
	pair         int    // bytes of the one key that they share, 0: there is none
	whole        bool   // the pairs are the schema's
}

// claim makes a vector of which only the count is there.
func claim(b *flatbuffers.Builder, n uint32) flatbuffers.UOffsetT {
	b.StartVector(4, 0, 4)
	at := b.EndVector(0)
	binary.LittleEndian.PutUint32(b.Bytes[b.Head():], n)
	return at
}

func (f forged) message() []byte {
	b := flatbuffers.NewBuilder(0)
	name := b.CreateString(strings.Repeat("n", f.name))
	var pairs, kind flatbuffers.UOffsetT
	switch {
	case f.pair > 0:
		key := b.CreateString(strings.Repeat("k", f.pair))
		b.StartObject(2)
		b.PrependUOffsetTSlot(0, key, 0)
		pair := b.EndObject()
		b.StartVector(4, int(f.pairs), 4)
		for range f.pairs {
			b.PrependUOffsetT(pair)
		}
		pairs = b.EndVector(int(f.pairs))
	case f.pairs > 0:
		pairs = claim(b, f.pairs)
	}
	switch f.kind {
	case typeTimestamp:
		zone := b.CreateString(strings.Repeat("z", f.zone))
		b.StartObject(2)
		b.PrependUOffsetTSlot(1, zone, 0)
		kind = b.EndObject()
	case typeUnion:
		ids := claim(b, f.ids)
		b.StartObject(2)
		b.PrependUOffsetTSlot(1, ids, 0)
		kind = b.EndObject()
	}
	b.StartObject(7)
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependByteSlot(2, f.kind, 0)
	b.PrependUOffsetTSlot(3, kind, 0)
	if !f.whole {
		b.PrependUOffsetTSlot(6, pairs, 0)
	}
	field := b.EndObject()
	b.StartVector(4, f.fields, 4)
	for range f.fields {
		b.PrependUOffsetT(field)
	}
	fields := b.EndVector(f.fields)
	b.StartObject(4)
	b.PrependUOffsetTSlot(1, fields, 0)
	if f.whole {
		b.PrependUOffsetTSlot(2, pairs, 0)
	}
	schema := b.EndObject()
	b.StartObject(5)
	b.PrependByteSlot(1, headerSchema, 0)
	b.PrependUOffsetTSlot(2, schema, 0)
	b.Finish(b.EndObject())
	text := b.FinishedBytes()
	return append(binary.LittleEndian.AppendUint32([]byte(Continuation), uint32(len(text))), text...)
}

// TestClaims holds that no count is believed and nothing that is shared is
// copied without bound: each of these files is of less than a megabyte.
func TestClaims(t *testing.T) {
	const want = "names and metadata of more than 67108864 bytes"
	for name, f := range map[string]forged{
		"pairs of a field":         {fields: 1, pairs: 1 << 31},
		"pairs of the schema":      {fields: 1, pairs: 1 << 31, whole: true},
		"one name of many fields":  {fields: 1 << 14, name: 1 << 16},
		"one key of many pairs":    {fields: 1, pairs: 1 << 14, pair: 1 << 16},
		"pairs of many fields":     {fields: 1 << 14, pairs: 1 << 10, pair: 1},
		"one zone of many columns": {fields: 1 << 14, kind: typeTimestamp, zone: 1 << 16},
		"types of a union":         {fields: 1, kind: typeUnion, ids: 1<<32 - 1},
	} {
		b := f.message()
		if len(b) > 1<<20 {
			t.Errorf("%s: %d bytes", name, len(b))
		}
		if _, err := open(b); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	fine := forged{fields: 3, name: 5, pairs: 4, pair: 100}
	if table, err := open(fine.message()); err == nil || !strings.Contains(err.Error(), "type") {
		t.Errorf("fields without a type: %+v, %v", table, err)
	}
}

// TestViews holds that a column of views has no more buffers than its batch, of
// a dictionary too.
func TestViews(t *testing.T) {
	message := func(kind byte, views ...int64) []byte {
		b := flatbuffers.NewBuilder(0)
		b.StartVector(16, 2, 8)
		for range 2 {
			b.Prep(8, 16)
			b.PrependInt64(0)
			b.PrependInt64(0)
		}
		buffers := b.EndVector(2)
		b.StartVector(8, len(views), 8)
		for _, v := range views {
			b.PrependInt64(v)
		}
		counts := b.EndVector(len(views))
		b.StartObject(5)
		b.PrependUOffsetTSlot(2, buffers, 0)
		b.PrependUOffsetTSlot(4, counts, 0)
		header := b.EndObject()
		if kind == headerDictionary {
			b.StartObject(3)
			b.PrependUOffsetTSlot(1, header, 0)
			header = b.EndObject()
		}
		b.StartObject(5)
		b.PrependByteSlot(1, kind, 0)
		b.PrependUOffsetTSlot(2, header, 0)
		b.Finish(b.EndObject())
		return b.FinishedBytes()
	}
	for _, kind := range []byte{headerBatch, headerDictionary} {
		if _, err := checkMessage(message(kind, 2, 0), false); err != nil {
			t.Error(err)
		}
		for _, n := range []int64{1 << 35, 3, -1} {
			if _, err := checkMessage(message(kind, 0, n), false); err == nil || !strings.HasSuffix(err.Error(), " buffers, of 2") {
				t.Errorf("kind %d, %d buffers: %v", kind, n, err)
			}
		}
	}
}

// TestBodies holds that a body is given the memory of the bytes that came.
func TestBodies(t *testing.T) {
	n := trusted/8 + 3
	b := stream(t, int64(n), []arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Float64}}, func(b array.Builder) {
		f := b.(*array.Float64Builder)
		f.Reserve(n)
		for i := range n {
			f.UnsafeAppend(float64(i))
		}
	})
	table, err := Open(bufio.NewReader(iotest.HalfReader(bytes.NewReader(b))), -1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		cells, err := table.Next()
		if err != nil || cells[0].Number != float64(i) {
			t.Fatalf("row %d: %v, %v", i, cells, err)
		}
	}
	m := &messages{in: bufio.NewReader(bytes.NewReader(b[:1000])), memory: &allocator{most: maxBatch}, most: maxBatch}
	if _, err := m.Message(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Message(); err == nil || !strings.HasPrefix(err.Error(), "truncated: ") || m.memory.used > trusted {
		t.Errorf("of a body that is cut: %v, and %d bytes", err, m.memory.used)
	}
}

// TestReaderErrors holds that what the input itself fails with comes out.
func TestReaderErrors(t *testing.T) {
	b := stream(t, 1, []arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8}}, func(b array.Builder) { b.(*array.Int8Builder).Append(1) })
	broken := errors.New("the disk is gone")
	for n := range len(b) - 8 {
		in := io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken))
		table, err := Open(bufio.NewReader(in), -1)
		for err == nil || errors.Is(err, ErrBatchEnd) {
			_, err = table.Next()
		}
		if !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

var _ ipc.MessageReader = (*messages)(nil)
