package arrow

import (
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
)

const (
	// maxColumns bounds the fields of a schema, those within others too.
	maxColumns = 1 << 16
	// maxDepth bounds how deep they stand in each other.
	maxDepth = 32
	// maxDecoded bounds the bytes that the decoder makes of one message's metadata:
	// names, keys and values that many fields share are copied for each.
	maxDecoded = 64 << 20
	// What a field, and a pair of a key and a value, cost beside their text.
	fieldBytes, pairBytes = 256, 64
)

// Slots of the tables of Arrow's Message.fbs and Schema.fbs.
const (
	messageHeaderType = 6
	messageHeader     = 8
	messageBody       = 10
	messageMetadata   = 12

	schemaFields   = 6
	schemaMetadata = 8

	fieldName     = 4
	fieldTypeType = 8
	fieldType     = 10
	fieldChildren = 14
	fieldMetadata = 16

	pairKey, pairValue = 4, 6
	timestampZone      = 6
	unionIDs           = 6

	dictionaryData = 6
	batchBuffers   = 8
	batchVariadic  = 12
)

// Members of the unions MessageHeader and Type.
const (
	headerSchema, headerDictionary, headerBatch = 1, 2, 3
	typeTimestamp, typeUnion                    = 10, 14
)

// decoded adds up what the decoder makes of one message's metadata. It follows
// every offset and believes every count: fields that share their children, or a
// vector that claims 2³² pairs, make of a few bytes as much as they like.
type decoded struct {
	fields int
	bytes  int64
}

// checkMessage bounds the metadata of a message, of a stream's first, which
// holds the schema, too, and gives the length of its body in bytes.
func checkMessage(meta []byte, first bool) (body int64, err error) {
	defer recovered(&err)
	message := flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}
	kind := byte(0)
	if o := slot(message, messageHeaderType); o != 0 {
		kind = message.GetByte(o)
	}
	if first && kind != headerSchema {
		return 0, errors.New("does not begin with a schema: not Arrow's IPC format")
	}
	if o := slot(message, messageBody); o != 0 {
		body = message.GetInt64(o)
	}
	var d decoded
	if err := d.metadata(message, messageMetadata); err != nil {
		return 0, err
	}
	header, ok := table(message, messageHeader)
	switch {
	case kind == headerSchema && !ok:
		return 0, errors.New("no schema")
	case kind == headerSchema:
		err = d.schema(header)
	case kind == headerDictionary && ok:
		if data, ok := table(header, dictionaryData); ok {
			err = checkBatch(data)
		}
	case kind == headerBatch && ok:
		err = checkBatch(header)
	}
	return body, err
}

// schema adds a schema.
func (d *decoded) schema(t flatbuffers.Table) error {
	if err := d.children(t, schemaFields, 0); err != nil {
		return err
	}
	if d.fields == 0 {
		return errors.New("no columns")
	}
	return d.metadata(t, schemaMetadata)
}

// children adds the fields in a slot, and those within.
func (d *decoded) children(t flatbuffers.Table, at flatbuffers.VOffsetT, depth int) error {
	v, n := vector(t, at)
	if n > 0 && depth > maxDepth {
		return fmt.Errorf("columns nested more than %d deep", maxDepth)
	}
	for i := range n {
		if d.fields++; d.fields > maxColumns {
			return fmt.Errorf("more than %d columns", maxColumns)
		}
		field := flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(v + flatbuffers.UOffsetT(4*i))}
		if err := d.field(field); err != nil {
			return err
		}
		if err := d.children(field, fieldChildren, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// field adds one field, without its children.
func (d *decoded) field(t flatbuffers.Table) error {
	cost := fieldBytes + text(t, fieldName)
	if o := slot(t, fieldTypeType); o != 0 {
		of, ok := table(t, fieldType)
		switch kind := t.GetByte(o); {
		case ok && kind == typeTimestamp:
			cost += text(of, timestampZone)
		case ok && kind == typeUnion:
			_, n := vector(of, unionIDs)
			cost += int64(n)
		}
	}
	if err := d.claim(cost); err != nil {
		return err
	}
	return d.metadata(t, fieldMetadata)
}

// metadata adds the pairs of a key and a value in a slot.
func (d *decoded) metadata(t flatbuffers.Table, at flatbuffers.VOffsetT) error {
	v, n := vector(t, at)
	if err := d.claim(pairBytes * int64(n)); err != nil {
		return err
	}
	for i := range n {
		pair := flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(v + flatbuffers.UOffsetT(4*i))}
		if err := d.claim(text(pair, pairKey) + text(pair, pairValue)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoded) claim(n int64) error {
	if d.bytes += n; d.bytes > maxDecoded {
		return fmt.Errorf("names and metadata of more than %d bytes", maxDecoded)
	}
	return nil
}

// checkBatch bounds what the decoder allocates for the buffers that a column of
// strings claims: no more than the batch has.
func checkBatch(t flatbuffers.Table) error {
	_, buffers := vector(t, batchBuffers)
	v, n := vector(t, batchVariadic)
	for i := range n {
		if c := t.GetInt64(v + flatbuffers.UOffsetT(8*i)); c < 0 || c > int64(buffers) {
			return fmt.Errorf("a column of %d buffers, of %d", c, buffers)
		}
	}
	return nil
}

// slot is the place of a table's member in its bytes, 0 if it is absent.
func slot(t flatbuffers.Table, at flatbuffers.VOffsetT) flatbuffers.UOffsetT {
	o := flatbuffers.UOffsetT(t.Offset(at))
	if o == 0 {
		return 0
	}
	return o + t.Pos
}

// table is the table in a slot.
func table(t flatbuffers.Table, at flatbuffers.VOffsetT) (flatbuffers.Table, bool) {
	o := slot(t, at)
	if o == 0 {
		return flatbuffers.Table{}, false
	}
	return flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(o)}, true
}

// vector is the first element of the vector in a slot, and how many it claims.
func vector(t flatbuffers.Table, at flatbuffers.VOffsetT) (flatbuffers.UOffsetT, int) {
	o := flatbuffers.UOffsetT(t.Offset(at))
	if o == 0 {
		return 0, 0
	}
	return t.Vector(o), t.VectorLen(o)
}

// text is the length of the string in a slot, in bytes.
func text(t flatbuffers.Table, at flatbuffers.VOffsetT) int64 {
	_, n := vector(t, at)
	return int64(n)
}
