// Package graph writes ONNX files: a Builder collects the nodes of one graph and
// gives the model's bytes. It knows of no network; whoever has numbers and
// operations to export adds them.
//
// The format is that of the ONNX specification, IR version 8. Only operators that
// mean the same from opset 13 on to MaxOpset are used by this project's exports,
// so that a graph can be joined to a model of any of them.
package graph

import (
	"errors"
	"fmt"
	"strconv"
)

// Opset is the version of the operators of a graph of its own, MinOpset and
// MaxOpset those that it may be joined to.
const (
	Opset    = 17
	MinOpset = 13
	MaxOpset = 21
)

// Type is the type of a tensor's elements, by its number in the format.
type Type int

// The types in use.
const (
	Float  Type = 1
	Uint8  Type = 2
	Int64  Type = 7
	String Type = 8
	Bool   Type = 9
	Double Type = 11
)

// Value names a tensor of the graph. The zero Value is none: an input that an
// operator may do without.
type Value struct{ name string }

// Name is the tensor's name in the file.
func (v Value) Name() string { return v.name }

// Dim is a size of an input or output: a number, or a name for what is free.
type Dim struct {
	N    int
	Name string // "": N
}

// Free is a size that every run may have its own of.
func Free(name string) Dim { return Dim{Name: name} }

// Fixed are given sizes.
func Fixed(sizes ...int) []Dim {
	out := make([]Dim, len(sizes))
	for i, n := range sizes {
		out[i].N = n
	}
	return out
}

// Port is an input or output of the graph.
type Port struct {
	Name string
	Type Type
	Dims []Dim
	Doc  string
}

// Attr is an attribute of a node.
type Attr struct {
	name string
	kind int // of AttributeProto.AttributeType
	f    float32
	i    int64
	s    string
	ints []int64
}

// The kinds of attributes in use.
const (
	attrFloat  = 1
	attrInt    = 2
	attrString = 3
	attrInts   = 7
)

// F is an attribute that is a number.
func F(name string, v float64) Attr { return Attr{name: name, kind: attrFloat, f: float32(v)} }

// I is an attribute that is a whole number.
func I(name string, v int) Attr { return Attr{name: name, kind: attrInt, i: int64(v)} }

// S is an attribute that is a word.
func S(name, v string) Attr { return Attr{name: name, kind: attrString, s: v} }

// Is is an attribute that is a list of whole numbers.
func Is(name string, v ...int) Attr { return Attr{name: name, kind: attrInts, ints: longs(v)} }

func longs(v []int) []int64 {
	out := make([]int64, len(v))
	for i, n := range v {
		out[i] = int64(n)
	}
	return out
}

// Builder collects a graph. Its first fault is kept, so that nodes can be added
// without a look at errors, and Err or Model gives it.
type Builder struct {
	nodes     [][]byte
	constants [][]byte
	inputs    []Port
	outputs   []Port
	joined    *Model
	count     int
	err       error
}

// New is an empty graph.
func New() *Builder { return &Builder{} }

// Fail records a fault. Later ones are dropped.
func (b *Builder) Fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Failf is Fail of a formatted error.
func (b *Builder) Failf(format string, args ...any) { b.Fail(fmt.Errorf(format, args...)) }

// Err is the first fault.
func (b *Builder) Err() error { return b.err }

func (b *Builder) fresh() Value {
	b.count++
	return Value{"v" + strconv.Itoa(b.count)}
}

// Input adds an input of the graph.
func (b *Builder) Input(p Port) Value {
	b.inputs = append(b.inputs, p)
	return Value{p.Name}
}

// Output makes v an output of the graph, of p's name.
func (b *Builder) Output(p Port, v Value) {
	b.node("Identity", []string{v.name}, []string{p.Name}, nil)
	b.outputs = append(b.outputs, p)
}

// Op adds a node of the operator kind and gives its first result. Operators have
// their attributes after their inputs.
func (b *Builder) Op(kind string, in []Value, attrs ...Attr) Value {
	return b.Ops(kind, in, 1, attrs...)[0]
}

// Ops is Op for an operator with several results.
func (b *Builder) Ops(kind string, in []Value, results int, attrs ...Attr) []Value {
	names := make([]string, len(in))
	for i, v := range in {
		names[i] = v.name
	}
	out, outNames := make([]Value, results), make([]string, results)
	for i := range out {
		out[i] = b.fresh()
		outNames[i] = out[i].name
	}
	b.node(kind, names, outNames, attrs)
	return out
}

// Floats is a constant, float32. No sizes: a single number.
func (b *Builder) Floats(data []float32, sizes ...int) Value {
	return b.constant(Float, sizes, packFloats(data), len(data))
}

// Doubles is a constant, float64.
func (b *Builder) Doubles(data []float64, sizes ...int) Value {
	return b.constant(Double, sizes, packDoubles(data), len(data))
}

// Ints is a constant of whole numbers in one dimension.
func (b *Builder) Ints(data ...int) Value {
	return b.constant(Int64, []int{len(data)}, packInts(data), len(data))
}

// Index is a whole number without dimensions.
func (b *Builder) Index(i int) Value { return b.constant(Int64, nil, packInts([]int{i}), 1) }

func (b *Builder) constant(t Type, sizes []int, raw []byte, n int) Value {
	size := 1
	for _, s := range sizes {
		size *= s
	}
	if size != n {
		b.Failf("graph: a constant of sizes %v has %d numbers", sizes, n)
	}
	v := b.fresh()
	b.constants = append(b.constants, encodeTensor(v.name, t, sizes, raw))
	return v
}

// maxModel is the largest file that protobuf allows.
const maxModel = 2<<30 - 1

// Meta is what a file says of itself.
type Meta struct {
	Producer, Version string
	Name, Doc         string            // of the graph
	Properties        map[string]string // for readers of the file
}

// Model is the file.
func (b *Builder) Model(m Meta) ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if len(b.outputs) == 0 {
		return nil, errors.New("graph: no output")
	}
	out := b.encode(m)
	if len(out) > maxModel {
		return nil, fmt.Errorf("graph: the model has %d bytes, an ONNX file in one piece at most %d", len(out), maxModel)
	}
	return out, nil
}
