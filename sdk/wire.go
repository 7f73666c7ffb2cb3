package sdk

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Limits on what a message may claim before memory is given to it.
const (
	maxRank     = 8
	maxElements = 1 << 29 // 2 GiB of float32: gRPC's own limit
)

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// toWire encodes t. On little-endian machines the message shares t's memory:
// it must be sent before t changes.
func toWire(t *tensor.Tensor) *proto.Tensor {
	m := &proto.Tensor{Dtype: proto.DType_F32, Shape: dims(t.Shape)}
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

// fromWire decodes m, which it may share memory with. name says in errors
// which tensor it is.
func fromWire(name string, m *proto.Tensor) (*tensor.Tensor, error) {
	if m == nil {
		return nil, Errorf(InvalidArgument, "%s: no tensor", name)
	}
	if m.Dtype != proto.DType_F32 {
		return nil, Errorf(InvalidArgument, "%s: dtype %v, want F32", name, m.Dtype)
	}
	shape, n, err := wireShape(m.Shape)
	if err != nil {
		return nil, Errorf(InvalidArgument, "%s: %v", name, err)
	}
	if len(m.Data) != 4*n {
		return nil, Errorf(InvalidArgument, "%s: %d bytes for shape %v, want %d", name, len(m.Data), shape, 4*n)
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

// labelsToWire encodes class indices as I64.
func labelsToWire(labels []int) *proto.Tensor {
	m := &proto.Tensor{Dtype: proto.DType_I64, Shape: []int64{int64(len(labels))}, Data: make([]byte, 0, 8*len(labels))}
	for _, l := range labels {
		m.Data = binary.LittleEndian.AppendUint64(m.Data, uint64(l))
	}
	return m
}

// labelsFromWire decodes n class indices.
func labelsFromWire(m *proto.Tensor, n int) ([]int, error) {
	if m == nil || m.Dtype != proto.DType_I64 || len(m.Data) != 8*n || len(m.Shape) != 1 || m.Shape[0] != int64(n) {
		return nil, Errorf(InvalidArgument, "labels: want I64 of shape %d, one per row of x", n)
	}
	labels := make([]int, n)
	for i := range labels {
		labels[i] = int(int64(binary.LittleEndian.Uint64(m.Data[8*i:])))
	}
	return labels, nil
}

// wireShape checks a shape that came from outside and counts its elements.
func wireShape(s []int64) (tensor.Shape, int, error) {
	if len(s) > maxRank {
		return nil, 0, fmt.Errorf("%d dimensions, at most %d", len(s), maxRank)
	}
	shape := make(tensor.Shape, len(s))
	for i, d := range s {
		if d < 0 || d > maxElements {
			return nil, 0, fmt.Errorf("dimension %d is %d, want 0 to %d", i, d, maxElements)
		}
		shape[i] = int(d)
	}
	if err := shape.Valid(0, maxElements); err != nil {
		return nil, 0, err
	}
	return shape, shape.Size(), nil
}

func dims(s tensor.Shape) []int64 {
	if s == nil {
		return nil
	}
	d := make([]int64, len(s))
	for i, v := range s {
		d[i] = int64(v)
	}
	return d
}

// mapToWire and mapFromWire convert named tensors.
func mapToWire(m map[string]*tensor.Tensor) map[string]*proto.Tensor {
	out := make(map[string]*proto.Tensor, len(m))
	for k, t := range m {
		out[k] = toWire(t)
	}
	return out
}

func mapFromWire(m map[string]*proto.Tensor) (map[string]*tensor.Tensor, error) {
	out := make(map[string]*tensor.Tensor, len(m))
	for k, w := range m {
		t, err := fromWire(k, w)
		if err != nil {
			return nil, err
		}
		out[k] = t
	}
	return out, nil
}

// infoToWire and infoFromWire convert a description. The numbers of the enums
// are the same on both sides.
func infoToWire(i Info) *proto.DescribeResponse {
	m := &proto.DescribeResponse{
		Name: i.Name, Version: i.Version,
		InputShape: dims(i.InputShape), Layout: proto.Layout(i.Layout), Lo: i.Lo, Hi: i.Hi,
		NumClasses: int64(i.NumClasses), Classes: i.Classes, Output: proto.OutputKind(i.Output), MaxBatch: int64(i.MaxBatch),
		Gradient: proto.GradientKind(i.Gradient), Differentiate: i.Differentiate,
		Trainable: i.Trainable, Ready: i.Ready, BatchInvariant: i.BatchInvariant,
		Digest: i.Digest, ConfigSchema: i.Schema,
	}
	for _, h := range i.Hidden {
		m.Hidden = append(m.Hidden, &proto.HiddenLayer{Name: h.Name, Shape: dims(h.Shape)})
	}
	return m
}

func infoFromWire(m *proto.DescribeResponse) (Info, error) {
	shape, size, err := wireShape(m.InputShape)
	if err != nil {
		return Info{}, Errorf(Internal, "describe: input shape: %v", err)
	}
	i := Info{
		Name: m.Name, Version: m.Version,
		Layout: Layout(m.Layout), Lo: m.Lo, Hi: m.Hi,
		NumClasses: int(m.NumClasses), Classes: m.Classes, Output: OutputKind(m.Output), MaxBatch: int(m.MaxBatch),
		Gradient: GradientKind(m.Gradient), Differentiate: m.Differentiate,
		Trainable: m.Trainable, Ready: m.Ready, BatchInvariant: m.BatchInvariant,
		Digest: m.Digest, Schema: m.ConfigSchema,
	}
	if len(shape) > 0 {
		i.InputShape = shape
	}
	if m.NumClasses < 0 || m.NumClasses > maxElements || m.MaxBatch < 0 {
		return Info{}, Errorf(Internal, "describe: num_classes %d or max_batch %d is out of range", m.NumClasses, m.MaxBatch)
	}
	for _, r := range []struct {
		name string
		v    []float32
	}{{"lo", i.Lo}, {"hi", i.Hi}} {
		if n := len(r.v); n > 1 && len(shape) > 0 && n != size {
			return Info{}, Errorf(Internal, "describe: %s has %d numbers, want one or one per feature (%d)", r.name, n, size)
		}
	}
	for _, h := range m.Hidden {
		s, _, err := wireShape(h.Shape)
		if err != nil {
			return Info{}, Errorf(Internal, "describe: hidden layer %q: %v", h.Name, err)
		}
		i.Hidden = append(i.Hidden, HiddenLayer{Name: h.Name, Shape: s})
	}
	return i, nil
}
