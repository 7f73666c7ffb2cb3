package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Encode encodes t. On little-endian machines the message shares t's memory:
// it must be sent before t changes.
func Encode(t *tensor.Tensor) *proto.Tensor {
	m := &proto.Tensor{Dtype: proto.DType_F32, Shape: Dims(t.Shape)}
	if len(t.Data) == 0 {
		return m
	}
	if littleEndian {
		m.Data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(t.Data))), 4*len(t.Data))
		return m
	}
	m.Data = make([]byte, 0, 4*len(t.Data))
	for _, v := range t.Data {
		m.Data = binary.LittleEndian.AppendUint32(m.Data, math.Float32bits(v))
	}
	return m
}

// Decode decodes m, which it may share memory with. An error says what is
// wrong with the message: a dtype other than F32, a shape beyond the limits, or
// data that does not fit it; name says there which tensor it is.
func Decode(name string, m *proto.Tensor) (*tensor.Tensor, error) {
	if m == nil {
		return nil, fmt.Errorf("%s: no tensor", name)
	}
	if m.Dtype != proto.DType_F32 {
		return nil, fmt.Errorf("%s: dtype %v, want F32", name, m.Dtype)
	}
	shape, n, err := Shape(m.Shape)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(m.Data) != 4*n {
		return nil, fmt.Errorf("%s: %d bytes for shape %v, want %d", name, len(m.Data), shape, 4*n)
	}
	t := &tensor.Tensor{Shape: shape}
	if n == 0 {
		return t, nil
	}
	p := unsafe.SliceData(m.Data)
	if littleEndian && uintptr(unsafe.Pointer(p))%4 == 0 {
		t.Data = unsafe.Slice((*float32)(unsafe.Pointer(p)), n)
		return t, nil
	}
	t.Data = make([]float32, n)
	for i := range t.Data {
		t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(m.Data[4*i:]))
	}
	return t, nil
}

// EncodeLabels encodes class indices as I64.
func EncodeLabels(labels []int) *proto.Tensor {
	m := &proto.Tensor{Dtype: proto.DType_I64, Shape: []int64{int64(len(labels))}, Data: make([]byte, 0, 8*len(labels))}
	for _, l := range labels {
		m.Data = binary.LittleEndian.AppendUint64(m.Data, uint64(l))
	}
	return m
}

// DecodeLabels decodes n class indices; anything but n of them is an error.
func DecodeLabels(m *proto.Tensor, n int) ([]int, error) {
	if m == nil || m.Dtype != proto.DType_I64 || len(m.Data) != 8*n || len(m.Shape) != 1 || m.Shape[0] != int64(n) {
		return nil, fmt.Errorf("labels: want I64 of shape %d, one per row of x", n)
	}
	labels := make([]int, n)
	for i := range labels {
		labels[i] = int(int64(binary.LittleEndian.Uint64(m.Data[8*i:])))
	}
	return labels, nil
}

// Shape checks a shape that came from outside against MaxRank and MaxElements,
// and counts its elements. Dimensions may be 0.
func Shape(s []int64) (tensor.Shape, int, error) {
	if len(s) > MaxRank {
		return nil, 0, fmt.Errorf("%d dimensions, at most %d", len(s), MaxRank)
	}
	shape := make(tensor.Shape, len(s))
	for i, d := range s {
		if d < 0 || d > MaxElements {
			return nil, 0, fmt.Errorf("dimension %d is %d, want 0 to %d", i, d, MaxElements)
		}
		shape[i] = int(d)
	}
	if err := shape.Valid(0, MaxElements); err != nil {
		return nil, 0, err
	}
	return shape, shape.Size(), nil
}

// Dims is s as it goes on the wire; nil stays nil.
func Dims(s tensor.Shape) []int64 {
	if s == nil {
		return nil
	}
	d := make([]int64, len(s))
	for i, v := range s {
		d[i] = int64(v)
	}
	return d
}

// EncodeMap encodes named tensors as Encode does.
func EncodeMap(m map[string]*tensor.Tensor) map[string]*proto.Tensor {
	out := make(map[string]*proto.Tensor, len(m))
	for k, t := range m {
		out[k] = Encode(t)
	}
	return out
}

// DecodeMap decodes named tensors as Decode does.
func DecodeMap(m map[string]*proto.Tensor) (map[string]*tensor.Tensor, error) {
	out := make(map[string]*tensor.Tensor, len(m))
	for k, w := range m {
		t, err := Decode(k, w)
		if err != nil {
			return nil, err
		}
		out[k] = t
	}
	return out, nil
}

// NotFinite is the index of the first NaN or infinity, or -1.
func NotFinite(data []float32) int {
	for i, v := range data {
		if v-v != 0 {
			return i
		}
	}
	return -1
}
