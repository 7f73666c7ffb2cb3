package nn

import (
	"reflect"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Described is a Layer that describes itself. One that does not goes by the
// name of its Go type, softThreshold as soft_threshold.
type Described interface {
	// Kind is the name in the table of layers: "conv2d".
	Kind() string
	// FLOPs are the floating-point operations of a forward pass of one
	// example, a multiplication and an addition counting two.
	FLOPs() int64
}

// Nested is a Layer with layers of its own.
type Nested interface{ Inner() *Sequence }

// Multiplied is a Layer whose forward pass is one matrix product, of an
// example's rows×in numbers and a kernel in×out: convolutions in their im2col
// form. Transposed, it is the gradient of such a product at its input, as a
// transposed convolution is.
type Multiplied interface {
	Product() (rows, in, out int, transposed bool)
}

// NoHiddenOutput is a Layer whose result is not worth comparing between two
// inputs, since it computes nothing: it only moves, rescales or pads numbers,
// or does nothing outside training. A classifier does not offer it as a hidden
// layer.
type NoHiddenOutput interface {
	// NoHiddenOutput reports whether the layer is left out.
	NoHiddenOutput() bool
}

// LayerInfo describes one layer of a Sequence.
type LayerInfo struct {
	Name   string // kind and index, "conv2d_0"; within a layer "residual_2/conv2d_0"
	Kind   string
	Depth  int // 0; 1 for the layers within a layer, which that one includes
	Out    tensor.Shape
	Params int   // numbers, statistics included
	FLOPs  int64 // per example, forward
}

// Describe lists the layers of s in order, those within a layer after it.
func Describe(s *Sequence) []LayerInfo { return describe(s, "", 0) }

func describe(s *Sequence, prefix string, depth int) []LayerInfo {
	var infos []LayerInfo
	for i, l := range s.layers {
		info := LayerInfo{Kind: kind(l), Depth: depth, Out: l.Out()}
		info.Name = prefix + info.Kind + "_" + strconv.Itoa(i)
		for _, p := range l.Params() {
			info.Params += p.Value.Shape.Size()
		}
		if d, ok := l.(Described); ok {
			info.FLOPs = d.FLOPs()
		}
		infos = append(infos, info)
		if n, ok := l.(Nested); ok {
			infos = append(infos, describe(n.Inner(), info.Name+"/", depth+1)...)
		}
	}
	return infos
}

func kind(l Layer) string {
	if d, ok := l.(Described); ok {
		return d.Kind()
	}
	var name []byte
	for _, c := range []byte(reflect.Indirect(reflect.ValueOf(l)).Type().Name()) {
		if c >= 'A' && c <= 'Z' {
			if c += 'a' - 'A'; len(name) > 0 {
				name = append(name, '_')
			}
		}
		name = append(name, c)
	}
	return string(name)
}

// Kind names a Sequence within a list.
func (s *Sequence) Kind() string { return "sequence" }

// FLOPs is the sum over the layers.
func (s *Sequence) FLOPs() int64 {
	var n int64
	for _, l := range s.layers {
		if d, ok := l.(Described); ok {
			n += d.FLOPs()
		}
	}
	return n
}
