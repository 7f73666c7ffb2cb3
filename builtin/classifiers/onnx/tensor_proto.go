package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Element types of a TensorProto.
const (
	typeFloat    = 1
	typeUint8    = 2
	typeInt8     = 3
	typeUint16   = 4
	typeInt16    = 5
	typeInt32    = 6
	typeInt64    = 7
	typeString   = 8
	typeBool     = 9
	typeFloat16  = 10
	typeDouble   = 11
	typeUint32   = 12
	typeUint64   = 13
	typeBfloat16 = 16
	typeUint4    = 21
	typeInt4     = 22
)

// kindOf is how numbers of an element type are kept; opaque: not at all.
func kindOf(elem int64) kind {
	switch elem {
	case typeFloat, typeDouble, typeFloat16, typeBfloat16:
		return float
	case typeUint8, typeInt8, typeUint16, typeInt16, typeInt32, typeInt64, typeUint32, typeUint64, typeUint4, typeInt4:
		return integer
	case typeBool:
		return boolean
	}
	return opaque
}

var widths = [...]int{typeFloat: 4, typeUint8: 1, typeInt8: 1, typeUint16: 2, typeInt16: 2, typeInt32: 4, typeInt64: 8,
	typeBool: 1, typeFloat16: 2, typeDouble: 8, typeUint32: 4, typeUint64: 8, typeBfloat16: 2}

// packed reports that two numbers share a byte.
func packed(elem int64) bool { return elem == typeUint4 || elem == typeInt4 }

// bytesOf is how many bytes n numbers take.
func bytesOf(elem int64, n int) int {
	if packed(elem) {
		return (n + 1) / 2
	}
	return n * widths[elem]
}

// tensor reads a TensorProto. All floats become float32, all integers int64.
func (m *model) tensor(b []byte) (name string, v *value, err error) {
	defer rescue(func() string { return "its numbers" }, &err)
	var dims, ints []int64
	var floats []float32
	var elem int64
	var raw []byte
	hasRaw, outside := false, false
	entries := map[string]string{}
	err = each(b, func(x field) error {
		var err error
		switch x.num {
		case 1:
			dims, err = x.varints(&m.room, dims)
		case 2:
			elem = int64(x.u)
		case 3:
			err = errors.New("tensors in segments are not supported")
		case 4:
			floats, err = x.floats(&m.room, floats)
		case 5, 7, 11:
			ints, err = x.varints(&m.room, ints)
		case 8:
			name = string(x.b)
		case 9:
			raw, hasRaw = x.b, true
		case 10:
			floats, err = x.doubles(&m.room, floats)
		case 13:
			m.room.claim(1, bytesValue)
			err = readEntry(x.b, entries)
		case 14:
			outside = x.u == 1
		}
		return err
	})
	if err != nil {
		return name, nil, err
	}
	v = &value{kind: kindOf(elem), elem: elem, constant: true}
	if v.shape, err = readDims(dims); err != nil {
		return name, nil, err
	}
	if v.kind == opaque {
		return name, v, nil // an error only where it is used
	}
	n := size(v.shape)
	if outside {
		if raw, err = m.readExternal(entries, bytesOf(elem, n)); err != nil {
			return name, nil, err
		}
		hasRaw = true
	}
	switch {
	case hasRaw:
		if want := bytesOf(elem, n); len(raw) != want {
			return name, nil, fmt.Errorf("%d bytes of data for shape %v, want %d: the file is damaged or cut", len(raw), v.shape, want)
		}
		v.unpack(&m.room, raw, elem, n)
		if outside {
			m.room.made -= int64(len(raw))
		}
	case v.kind == float && (elem == typeFloat16 || elem == typeBfloat16):
		v.f = fresh[float32](&m.room, len(ints))
		for i, u := range ints {
			v.f[i] = half(uint16(u), elem)
		}
	case packed(elem):
		raw = fresh[byte](&m.room, len(ints))
		for i, x := range ints {
			raw[i] = byte(x)
		}
		if len(raw) != bytesOf(elem, n) {
			return name, nil, fmt.Errorf("%d bytes of data for shape %v, want %d: the file is damaged or cut", len(raw), v.shape, bytesOf(elem, n))
		}
		v.unpack(&m.room, raw, elem, n)
	case v.kind == float:
		v.f = floats
	default:
		v.i = ints
	}
	if v.kind == float && len(v.f) != n || v.kind != float && len(v.i) != n {
		return name, nil, fmt.Errorf("%d numbers for shape %v, want %d: the file is damaged or cut", max(len(v.f), len(v.i)), v.shape, n)
	}
	return name, v, nil
}

// readDims checks dimensions: at most maxRank, none negative, at most
// maxNumbers elements in all.
func readDims(dims []int64) ([]int, error) {
	if len(dims) > maxRank {
		return nil, fmt.Errorf("%d dimensions, want at most %d", len(dims), maxRank)
	}
	shape, n := make([]int, len(dims)), int64(1)
	for i, d := range dims {
		if d < 0 || n > maxNumbers/max(1, d) {
			return nil, fmt.Errorf("shape %v: want no negative dimension and at most %d elements", dims, maxNumbers)
		}
		n *= max(1, d)
		shape[i] = int(d)
	}
	return shape, nil
}

// unpack reads n little-endian numbers.
func (v *value) unpack(r *room, raw []byte, elem int64, n int) {
	if v.kind == float {
		v.f = fresh[float32](r, n)
	} else {
		v.i = fresh[int64](r, n)
	}
	le := binary.LittleEndian
	for i := range n {
		switch elem {
		case typeFloat:
			v.f[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		case typeDouble:
			v.f[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		case typeFloat16, typeBfloat16:
			v.f[i] = half(le.Uint16(raw[2*i:]), elem)
		case typeInt8:
			v.i[i] = int64(int8(raw[i]))
		case typeUint8, typeBool:
			v.i[i] = int64(raw[i])
		case typeUint4:
			v.i[i] = int64(raw[i/2] >> (i % 2 * 4) & 15)
		case typeInt4:
			v.i[i] = int64(int8(raw[i/2]>>(i%2*4)<<4) >> 4)
		case typeInt16:
			v.i[i] = int64(int16(le.Uint16(raw[2*i:])))
		case typeUint16:
			v.i[i] = int64(le.Uint16(raw[2*i:]))
		case typeInt32:
			v.i[i] = int64(int32(le.Uint32(raw[4*i:])))
		case typeUint32:
			v.i[i] = int64(le.Uint32(raw[4*i:]))
		default:
			v.i[i] = int64(le.Uint64(raw[8*i:]))
		}
	}
}

// half is a float16 or bfloat16 as float32, exactly.
func half(u uint16, elem int64) float32 {
	if elem == typeBfloat16 {
		return math.Float32frombits(uint32(u) << 16)
	}
	sign, exp, frac := uint32(u>>15)<<31, uint32(u>>10&31), uint32(u&1023)
	switch exp {
	case 0: // subnormal: frac·2⁻²⁴
		f := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// readEntry reads a StringStringEntryProto.
func readEntry(b []byte, into map[string]string) error {
	var key, val string
	err := each(b, func(x field) error {
		switch x.num {
		case 1:
			key = string(x.b)
		case 2:
			val = string(x.b)
		}
		return nil
	})
	into[key] = val
	return err
}
