package tensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Float64 is element i as a number, exactly but for integers beyond 2^53. Of
// BYTES it panics.
func (t Tensor) Float64(i int) float64 {
	o := binary.LittleEndian
	switch t.Datatype {
	case FP32:
		return float64(math.Float32frombits(o.Uint32(t.Raw[4*i:])))
	case FP64:
		return math.Float64frombits(o.Uint64(t.Raw[8*i:]))
	case FP16:
		return fromHalf(o.Uint16(t.Raw[2*i:]))
	case BF16:
		return float64(math.Float32frombits(uint32(o.Uint16(t.Raw[2*i:])) << 16))
	case Bytes:
		panic("tensors: a text is no number")
	}
	if t.Datatype.Signed() {
		return float64(t.int(i))
	}
	return float64(t.uint(i))
}

// Float32s are the elements as float32, rounded to nearest. Of BYTES it panics.
func (t Tensor) Float32s() []float32 {
	out := make([]float32, t.N())
	t.CopyFloat32s(out, 0)
	return out
}

// CopyFloat32s writes the elements from start on into dst, as Float32s has them. Of BYTES, or of fewer elements, it
// panics.
func (t Tensor) CopyFloat32s(dst []float32, start int) {
	if t.Datatype == FP32 {
		raw := t.Raw[4*start : 4*(start+len(dst))]
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		return
	}
	for i := range dst {
		dst[i] = float32(t.Float64(start + i))
	}
}

// int is element i of a signed type.
func (t Tensor) int(i int) int64 {
	o := binary.LittleEndian
	switch t.Datatype.Size() {
	case 1:
		return int64(int8(t.Raw[i]))
	case 2:
		return int64(int16(o.Uint16(t.Raw[2*i:])))
	case 4:
		return int64(int32(o.Uint32(t.Raw[4*i:])))
	}
	return int64(o.Uint64(t.Raw[8*i:]))
}

// uint is element i of an unsigned type, or of BOOL.
func (t Tensor) uint(i int) uint64 {
	o := binary.LittleEndian
	switch t.Datatype.Size() {
	case 1:
		return uint64(t.Raw[i])
	case 2:
		return uint64(o.Uint16(t.Raw[2*i:]))
	case 4:
		return uint64(o.Uint32(t.Raw[4*i:]))
	}
	return o.Uint64(t.Raw[8*i:])
}

// FromFloat32s is a tensor of FP32. shape has as many elements as values.
func FromFloat32s(name string, shape []int64, values []float32) Tensor {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return Tensor{Name: name, Datatype: FP32, Shape: shape, Raw: b}
}

// FromFloats is a tensor of any datatype of numbers. Floats are rounded to nearest;
// of others a value that is not whole, or out of range, is an *Error.
func FromFloats(name string, d Datatype, shape []int64, values []float32) (Tensor, error) {
	if d.Size() <= 0 {
		return Tensor{}, &Error{name, fmt.Errorf("numbers as %s", Quote(string(d)))}
	}
	t := Tensor{Name: name, Datatype: d, Shape: shape, Raw: make([]byte, 0, len(values)*d.Size())}
	lo, hi := 0.0, math.Ldexp(1, 8*d.Size())
	switch {
	case d == Bool:
		hi = 2
	case d.Signed():
		lo, hi = -hi/2, hi/2
	}
	for i, f := range values {
		v := float64(f)
		switch {
		case d.Float():
			t.Raw = d.appendFloat(t.Raw, v)
			continue
		case v != math.Trunc(v) || v < lo || v >= hi: // NaN among them
			return Tensor{}, &Error{name, fmt.Errorf("element %d is %v: no number of %s", i, f, d)}
		}
		bits := uint64(v)
		if v < 0 {
			bits = uint64(int64(v))
		}
		t.Raw = d.appendInt(t.Raw, bits)
	}
	return t, nil
}

// FromFloat64s is a tensor of FP64.
func FromFloat64s(name string, shape []int64, values []float64) Tensor {
	b := make([]byte, 0, 8*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return Tensor{Name: name, Datatype: FP64, Shape: shape, Raw: b}
}

// FromInt64s is a tensor of INT64.
func FromInt64s(name string, shape []int64, values []int64) Tensor {
	b := make([]byte, 0, 8*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return Tensor{Name: name, Datatype: Int64, Shape: shape, Raw: b}
}

// appendFloat appends v, which d can hold, as d has it.
func (d Datatype) appendFloat(b []byte, v float64) []byte {
	o := binary.LittleEndian
	switch d {
	case FP64:
		return o.AppendUint64(b, math.Float64bits(v))
	case FP32:
		return o.AppendUint32(b, math.Float32bits(float32(v)))
	case FP16:
		return o.AppendUint16(b, toHalf(v))
	}
	return o.AppendUint16(b, toBrain(v))
}

// appendInt appends the low bytes of v.
func (d Datatype) appendInt(b []byte, v uint64) []byte {
	o := binary.LittleEndian
	switch d.Size() {
	case 1:
		return append(b, byte(v))
	case 2:
		return o.AppendUint16(b, uint16(v))
	case 4:
		return o.AppendUint32(b, uint32(v))
	}
	return o.AppendUint64(b, v)
}

// fromHalf is the value of an IEEE 754 binary16.
func fromHalf(h uint16) float64 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	exponent, fraction := int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction == 0 {
			return math.Inf(int(sign))
		}
		return math.NaN()
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// toHalf rounds to the nearest IEEE 754 binary16, half to even.
func toHalf(v float64) uint16 {
	var sign uint16
	if math.Signbit(v) {
		sign, v = 1<<15, -v
	}
	switch {
	case v != v:
		return sign | 0x7e00
	case v >= 65520: // half of the step beyond the largest
		return sign | 0x7c00
	case v < 1.0/(1<<14): // subnormal; may round up to the least normal, whose bits follow
		return sign | uint16(math.RoundToEven(math.Ldexp(v, 24)))
	}
	fraction, exponent := math.Frexp(v) // fraction in [.5, 1)
	return sign | uint16(exponent+14)<<10 + uint16(math.RoundToEven(math.Ldexp(fraction, 11))) - 1024
}

// toBrain rounds to the nearest bfloat16, half to even.
func toBrain(v float64) uint16 {
	f := float32(v)
	if f != f {
		return 0x7fc0
	}
	// v is rounded twice: make the first rounding odd where it was not exact
	b := math.Float32bits(f)
	if float64(f) != v && !math.IsInf(float64(f), 0) && b&1 == 0 {
		if math.Abs(float64(f)) > math.Abs(v) {
			b--
		} else {
			b++
		}
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
