package remote

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	pb "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxOverhead is how many bytes of memory what is made of a message may take beyond the
// bytes that it has. An empty part of a message has two bytes, and takes fifty times as many.
const maxOverhead = 64 << 20

// What a part takes, in bytes: a message in a list with its pointer, an entry of a map, the
// header of a string or of bytes. They are those of the 64-bit code that protoc-gen-go writes, rounded up.
const (
	messageBytes = 96
	fieldBytes   = 24
	entryBytes   = 160
	headerBytes  = 24
)

// frugal is gRPC's codec, but for messages that would take much more memory than they have
// bytes: those are an error before anything is made of them.
type frugal struct{}

var _ encoding.CodecV2 = frugal{}

// Name is empty, so that calls have the content type that gRPC gives them by default.
func (frugal) Name() string { return "" }

func (frugal) Marshal(v any) (mem.BufferSlice, error) {
	return encoding.GetCodecV2(encodingproto.Name).Marshal(v)
}

func (frugal) Unmarshal(data mem.BufferSlice, v any) error {
	var m pb.Message
	switch v := v.(type) {
	case protoadapt.MessageV1:
		m = protoadapt.MessageV2Of(v)
	case protoadapt.MessageV2:
		m = v
	default:
		return fmt.Errorf("it is read into a %T, want a message", v)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	b := buffer.ReadOnlyData()
	if over, err := overhead(b, m.ProtoReflect().Descriptor(), 0); err != nil {
		return err
	} else if over > maxOverhead {
		return fmt.Errorf("a message of %d bytes has so many parts that they would take more than %d MiB of memory", len(b), maxOverhead>>20)
	}
	return pb.Unmarshal(b, m)
}

// maxDepth is how deep the messages of the protocol lie in each other, with room to spare.
const maxDepth = 32

// overhead is the memory that the parts of a message take beyond its bytes, at least as far
// as maxOverhead.
func overhead(b []byte, d protoreflect.MessageDescriptor, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("messages nested more than %d deep", maxDepth)
	}
	total, fields := 0, d.Fields()
	for len(b) > 0 && total <= maxOverhead {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(number, kind, b)
		if size < 0 {
			return 0, protowire.ParseError(size)
		}
		value := b[:size]
		b = b[size:]
		f := fields.ByNumber(number)
		if f == nil {
			continue // it is kept as it is
		}
		if kind != protowire.BytesType {
			total += 8 // a number of a list
			continue
		}
		content, n := protowire.ConsumeBytes(value)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		switch f.Kind() {
		case protoreflect.MessageKind, protoreflect.GroupKind:
			if f.IsMap() {
				total += entryBytes
			}
			total += messageBytes + fieldBytes*min(f.Message().Fields().Len(), 8)
			inner, err := overhead(content, f.Message(), depth+1)
			if err != nil {
				return 0, err
			}
			total += inner
		case protoreflect.StringKind, protoreflect.BytesKind:
			total += headerBytes
		case protoreflect.FloatKind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.DoubleKind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
			// packed: as long as it is
		default: // packed: a number has a byte or more, and takes eight
			total += 8 * len(content)
		}
	}
	return total, nil
}
