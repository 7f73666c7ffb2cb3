package graph

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of onnx.proto.
const (
	modelIR, modelProducer, modelVersion, modelGraph, modelOpset, modelProperty, modelFunction = 1, 2, 3, 7, 8, 14, 25
	opsetDomain, opsetVersion                                                                  = 1, 2
	graphNode, graphName, graphInitializer, graphDoc                                           = 1, 2, 5, 10
	graphInput, graphOutput, graphValueInfo, graphSparse                                       = 11, 12, 13, 15
	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttr, nodeDoc                                 = 1, 2, 3, 4, 5, 6
	attrName, attrF, attrI, attrS, attrG, attrIs, attrGs, attrType                             = 1, 2, 3, 4, 6, 8, 11, 20
	tensorDims, tensorType, tensorName, tensorRaw                                              = 1, 2, 8, 9
	infoName, infoType, infoDoc                                                                = 1, 2, 3
	typeTensor, typeElem, typeShape                                                            = 1, 1, 2
	shapeDim, dimValue, dimParam                                                               = 1, 1, 2
	entryKey, entryValue                                                                       = 1, 2
)

// irVersion is that of opset 17.
const irVersion = 8

func bytesField(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func text(b []byte, field protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return bytesField(b, field, []byte(v))
}

func number(b []byte, field protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

func (b *Builder) node(kind string, in, out []string, attrs []Attr) {
	var n []byte
	for _, name := range in {
		n = bytesField(n, nodeInput, []byte(name)) // an empty one has its place
	}
	for _, name := range out {
		n = bytesField(n, nodeOutput, []byte(name))
	}
	n = text(n, nodeOp, kind)
	for _, a := range attrs {
		n = bytesField(n, nodeAttr, a.encode())
	}
	b.nodes = append(b.nodes, n)
}

func (a Attr) encode() []byte {
	b := text(nil, attrName, a.name)
	switch a.kind {
	case attrFloat:
		b = protowire.AppendFixed32(protowire.AppendTag(b, attrF, protowire.Fixed32Type), math.Float32bits(a.f))
	case attrInt:
		b = number(b, attrI, a.i)
	case attrString:
		b = bytesField(b, attrS, []byte(a.s))
	case attrInts:
		for _, v := range a.ints {
			b = number(b, attrIs, v)
		}
	}
	return number(b, attrType, int64(a.kind))
}

func encodeTensor(name string, t Type, sizes []int, raw []byte) []byte {
	var b []byte
	for _, n := range sizes {
		b = number(b, tensorDims, int64(n))
	}
	b = number(b, tensorType, int64(t))
	b = text(b, tensorName, name)
	return bytesField(b, tensorRaw, raw)
}

func packFloats(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, f := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
	}
	return out
}

func packDoubles(v []float64) []byte {
	out := make([]byte, 0, 8*len(v))
	for _, f := range v {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(f))
	}
	return out
}

func packInts(v []int) []byte {
	out := make([]byte, 0, 8*len(v))
	for _, n := range v {
		out = binary.LittleEndian.AppendUint64(out, uint64(n))
	}
	return out
}

func (p Port) encode() []byte {
	var shape []byte
	for _, d := range p.Dims {
		var one []byte
		if d.Name != "" {
			one = text(nil, dimParam, d.Name)
		} else {
			one = number(nil, dimValue, int64(d.N))
		}
		shape = bytesField(shape, shapeDim, one)
	}
	tensor := bytesField(number(nil, typeElem, int64(p.Type)), typeShape, shape)
	b := text(nil, infoName, p.Name)
	b = bytesField(b, infoType, bytesField(nil, typeTensor, tensor))
	return text(b, infoDoc, p.Doc)
}

func (b *Builder) encode(m Meta) []byte {
	var g []byte
	for _, n := range b.nodes {
		g = bytesField(g, graphNode, n)
	}
	g = text(g, graphName, m.Name)
	for _, c := range b.constants {
		g = bytesField(g, graphInitializer, c)
	}
	g = text(g, graphDoc, m.Doc)
	for _, p := range b.inputs {
		g = bytesField(g, graphInput, p.encode())
	}
	for _, p := range b.outputs {
		g = bytesField(g, graphOutput, p.encode())
	}
	ir, opsets := int64(irVersion), map[string]int64{"": Opset}
	if b.joined != nil {
		ir, opsets = max(ir, b.joined.ir), b.joined.opsets
	}
	out := number(nil, modelIR, ir)
	out = text(out, modelProducer, m.Producer)
	out = text(out, modelVersion, m.Version)
	out = bytesField(out, modelGraph, g)
	for _, domain := range slices.Sorted(maps.Keys(opsets)) {
		out = bytesField(out, modelOpset, number(text(nil, opsetDomain, domain), opsetVersion, opsets[domain]))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Properties)) {
		out = bytesField(out, modelProperty, text(text(nil, entryKey, key), entryValue, m.Properties[key]))
	}
	return out
}
