package onnx

import (
	"fmt"
	"math"
	"slices"
)

// limits are the least and the greatest integer of an element type.
func limits(elem int64) (lo, hi int64) {
	switch elem {
	case typeUint8:
		return 0, math.MaxUint8
	case typeInt8:
		return math.MinInt8, math.MaxInt8
	case typeUint16:
		return 0, math.MaxUint16
	case typeInt16:
		return math.MinInt16, math.MaxInt16
	case typeInt32:
		return math.MinInt32, math.MaxInt32
	case typeUint32:
		return 0, math.MaxUint32
	case typeUint4:
		return 0, 15
	case typeInt4:
		return -8, 7
	case typeBool:
		return 0, 1
	}
	return math.MinInt64, math.MaxInt64
}

// wrapped is x as an element type of fewer bits keeps it.
func wrapped(x, elem int64) int64 {
	lo, hi := limits(elem)
	if x >= lo && x <= hi {
		return x
	}
	return lo + (x-lo)&(hi-lo) // hi − lo + 1 is a power of two
}

// rounded is the nearest integer of an element type, to even; NaN is 0.
func rounded(x float32, elem int64) int64 {
	if x != x {
		return 0
	}
	lo, hi := limits(elem)
	switch v := math.RoundToEven(float64(x)); {
	case v <= float64(lo):
		return lo
	case v >= float64(hi):
		return hi
	default:
		return int64(v)
	}
}

// toElem is v as integers of another element type, which wrap round where it
// is narrower. A gradient passes straight through.
func (r *run) toElem(v *value, elem int64) *value {
	if v.elem == elem || v.elem == 0 && elem == typeInt64 {
		return v
	}
	out := r.whole(elem, v.shape)
	for i, x := range v.i {
		out.i[i] = wrapped(x, elem)
	}
	r.record(out, func() { r.pass(v, out.d) }, v)
	return out
}

// legal are the ends of the input's element type, if it has at most 16 bits;
// otherwise 0 and 1, to try the model with.
func (e *entry) legal() (lo, hi float32, limited bool) {
	least, most := limits(e.elem)
	if kindOf(e.elem) == float || most > math.MaxUint16 {
		return 0, 1, false
	}
	return float32(least), float32(most), true
}

// reading is how the rows of the data enter an input of integers.
type reading int

const (
	asFloats  reading = iota // as they are: the model casts them to floats before it reads them
	asPixels                 // rounded to the input's type, gradients straight through
	asSymbols                // rounded, without a gradient: the model reads them as indices or codes
)

// moving are operators that only move the numbers of their first input.
var moving = []string{"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Gather", "Split", "Expand", "Tile",
	"DepthToSpace", "SpaceToDepth"}

// reading follows an input of integers to what reads it. why says what makes
// them symbols.
func (m *model) reading(input string) (how reading, why string) {
	how = asFloats
	readers := map[string][]*node{}
	for _, n := range m.nodes {
		for _, name := range n.in {
			readers[name] = append(readers[name], n)
		}
	}
	queue, seen := []string{input}, map[string]bool{}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, n := range readers[name] {
			at := slices.Index(n.in, name)
			switch {
			case n.domain == "" && (n.op == "Shape" || n.op == "Size"):
			case n.domain == domainML, n.domain == "" && n.op == "Cast" && kindOf(int64(n.int("to", typeFloat))) == float:
			case at == 0 && n.domain == "" && slices.Contains(moving, n.op) && !slices.Contains(n.in[1:], name):
				queue = append(queue, n.out...)
			case straight[n.op]:
				how = asPixels
			default:
				return asSymbols, fmt.Sprintf("%v reads the integers of input %q as such", n, input)
			}
		}
	}
	return how, ""
}
