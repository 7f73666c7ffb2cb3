package onnx

import (
	"encoding/binary"
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a protobuf message: a number in u, or bytes in b.
type field struct {
	num protowire.Number
	typ protowire.Type
	u   uint64
	b   []byte
}

var errWire = errors.New("not an ONNX file, or a damaged one: its protobuf encoding is broken")

// each calls f with the fields of a message in order. Groups are skipped.
func each(b []byte, f func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errWire
		}
		b = b[n:]
		x := field{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			x.u, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			x.u = uint64(v)
		case protowire.Fixed64Type:
			x.u, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			x.b, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errWire
		}
		b = b[n:]
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}

// varints appends a repeated integer field, packed or not.
func (x field) varints(r *room, dst []int64) ([]int64, error) {
	if x.typ == protowire.VarintType {
		return append(grown(r, dst, 1), int64(x.u)), nil
	}
	b, n := x.b, 0
	for _, c := range b {
		n += int(^c >> 7) // the last byte of each
	}
	dst = grown(r, dst, n)
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, errWire
		}
		dst, b = append(dst, int64(v)), b[n:]
	}
	return dst, nil
}

// floats appends a repeated float field, packed or not.
func (x field) floats(r *room, dst []float32) ([]float32, error) {
	if x.typ == protowire.Fixed32Type {
		return append(grown(r, dst, 1), math.Float32frombits(uint32(x.u))), nil
	}
	if len(x.b)%4 != 0 {
		return nil, errWire
	}
	dst = grown(r, dst, len(x.b)/4)
	for b := x.b; len(b) > 0; b = b[4:] {
		dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return dst, nil
}

// doubles appends a repeated double field, packed or not, rounded to float32.
func (x field) doubles(r *room, dst []float32) ([]float32, error) {
	if x.typ == protowire.Fixed64Type {
		return append(grown(r, dst, 1), float32(math.Float64frombits(x.u))), nil
	}
	if len(x.b)%8 != 0 {
		return nil, errWire
	}
	dst = grown(r, dst, len(x.b)/8)
	for b := x.b; len(b) > 0; b = b[8:] {
		dst = append(dst, float32(math.Float64frombits(binary.LittleEndian.Uint64(b))))
	}
	return dst, nil
}
