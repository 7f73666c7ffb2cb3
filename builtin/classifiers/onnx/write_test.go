package onnx

import (
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A writer of ONNX files, enough for tests.

func text(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func message(b []byte, num protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), m)
}

func varint(b []byte, num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
}

// tensorOf is a TensorProto of floats, with their bytes in it.
func tensorOf(name string, f []float32, dims ...int64) []byte {
	return message(header(name, typeFloat, dims...), 9, floatBytes(f))
}

func floatBytes(f []float32) []byte {
	var raw []byte
	for _, v := range f {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}

func header(name string, elem int64, dims ...int64) []byte {
	var b []byte
	for _, d := range dims {
		b = varint(b, 1, d)
	}
	return text(varint(b, 2, elem), 8, name)
}

// outsideOf is a TensorProto of floats whose bytes are elsewhere.
func outsideOf(name, location, offset string, dims ...int64) []byte {
	b := varint(header(name, typeFloat, dims...), 14, 1)
	b = message(b, 13, text(text(nil, 1, "location"), 2, location))
	if offset != "" {
		b = message(b, 13, text(text(nil, 1, "offset"), 2, offset))
	}
	return b
}

// nodeOf is a NodeProto; attributes are AttributeProtos.
func nodeOf(op string, in, out []string, attributes ...[]byte) []byte {
	var b []byte
	for _, s := range in {
		b = text(b, 1, s)
	}
	for _, s := range out {
		b = text(b, 2, s)
	}
	b = text(text(b, 3, op+"_0"), 4, op)
	for _, a := range attributes {
		b = message(b, 5, a)
	}
	return b
}

// portOf is a ValueInfoProto; dims of −1 are free.
func portOf(name string, elem int64, dims ...int64) []byte {
	var shape []byte
	for _, d := range dims {
		if d < 0 {
			shape = message(shape, 1, text(nil, 2, "n"))
		} else {
			shape = message(shape, 1, varint(nil, 1, d))
		}
	}
	return message(text(nil, 1, name), 2, message(nil, 1, message(varint(nil, 1, elem), 2, shape)))
}

// file is a ModelProto.
type file struct {
	opset                  int64
	nodes, consts, in, out [][]byte
}

func (f file) bytes() []byte {
	var g []byte
	for _, part := range []struct {
		num  protowire.Number
		list [][]byte
	}{{1, f.nodes}, {5, f.consts}, {11, f.in}, {12, f.out}} {
		for _, m := range part.list {
			g = message(g, part.num, m)
		}
	}
	b := varint(nil, 1, 8)
	b = message(b, 8, varint(text(nil, 1, ""), 2, f.opset))
	return message(b, 7, g)
}

// linear is y = x·w of 3 features and 2 classes, with w as given.
func linear(w []byte) file {
	return file{
		opset:  13,
		nodes:  [][]byte{nodeOf("MatMul", []string{"x", "w"}, []string{"y"})},
		consts: [][]byte{w},
		in:     [][]byte{portOf("x", typeFloat, -1, 3)},
		out:    [][]byte{portOf("y", typeFloat, -1, 2)},
	}
}

var linearWeights = []float32{1, 2, 3, 4, 5, 6}

// with replaces the nodes and the input's dimensions.
func (f file) with(nodes [][]byte, dims ...int64) file {
	f.nodes = slices.Clone(nodes)
	if dims != nil {
		f.in = [][]byte{portOf("x", typeFloat, dims...)}
	}
	return f
}

// plenty is an allowance for tests of something else.
var plenty = allowance{memory: 4 << 30, work: 1 << 40}
