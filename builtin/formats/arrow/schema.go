package arrow

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	flatbuffers "github.com/google/flatbuffers/go"
)

const (
	// maxColumns bounds the fields of a schema, those within others too.
	maxColumns = 1 << 16
	// maxDepth bounds how deep they stand in each other.
	maxDepth = 32
)

// Slots of the tables of Arrow's Message.fbs and Schema.fbs.
const (
	messageHeaderType = 6
	messageHeader     = 8
	schemaFields      = 6
	fieldChildren     = 14
	headerSchema      = 1 // the union's member
)

// checkSchema reads the first message of a stream, which holds the schema, and
// gives its bytes. The decoder follows every offset: fields that share their
// children make of a few bytes as many fields as they like.
func checkSchema(in *bufio.Reader) (first []byte, err error) {
	defer recovered(&err)
	prefix := make([]byte, 4, 8)
	if _, err := io.ReadFull(in, prefix); err != nil {
		return nil, errors.New("truncated: no schema")
	}
	if string(prefix) == Continuation {
		prefix = prefix[:8]
		if _, err := io.ReadFull(in, prefix[4:]); err != nil {
			return nil, errors.New("truncated: no schema")
		}
	}
	size := int64(int32(binary.LittleEndian.Uint32(prefix[len(prefix)-4:])))
	if size < 8 || size > maxMetadata {
		return nil, fmt.Errorf("a schema of %d bytes, want 8 to %d: not Arrow's IPC format", size, maxMetadata)
	}
	buf, err := io.ReadAll(io.LimitReader(in, size))
	if err != nil {
		return nil, err
	}
	if int64(len(buf)) < size {
		return nil, errors.New("truncated: the schema does not end")
	}
	message := flatbuffers.Table{Bytes: buf, Pos: flatbuffers.GetUOffsetT(buf)}
	if o := flatbuffers.UOffsetT(message.Offset(messageHeaderType)); o == 0 || message.GetByte(o+message.Pos) != headerSchema {
		return nil, errors.New("does not begin with a schema: not Arrow's IPC format")
	}
	o := flatbuffers.UOffsetT(message.Offset(messageHeader))
	if o == 0 {
		return nil, errors.New("no schema")
	}
	schema := flatbuffers.Table{Bytes: buf, Pos: message.Indirect(o + message.Pos)}
	n := 0
	if err := countFields(schema, schemaFields, 0, &n); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("no columns")
	}
	return append(prefix, buf...), nil
}

// countFields counts the fields in a slot, and those within.
func countFields(t flatbuffers.Table, slot flatbuffers.VOffsetT, depth int, n *int) error {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("columns nested more than %d deep", maxDepth)
	}
	at := t.Vector(o)
	for i := range t.VectorLen(o) {
		if *n++; *n > maxColumns {
			return fmt.Errorf("more than %d columns", maxColumns)
		}
		field := flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at + flatbuffers.UOffsetT(4*i))}
		if err := countFields(field, fieldChildren, depth+1, n); err != nil {
			return err
		}
	}
	return nil
}
