package onnx

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
)

// hostile is a small file that asks for much, or for what cannot be.
type hostile struct {
	kind, name string
	model      []byte
	want       string // part of the error; "": it loads, and runs there and back within its bounds
	json       string // more of the config
	beside     string // a file that cannot be a regular one: "pipe" or "link"
}

// hostileFiles is the zoo.
func hostileFiles() []hostile {
	return slices.Concat(hostileShapes(), hostileChains(), hostileWindows(), hostileIndices(), hostileGraphs(), hostileTensors(), hostileGrids(), hostileForests(), hostileNumbers())
}

// of is a model of an input of 3 features and 2 classes whose answer needs
// nodes and their tensor h, which is added up.
func of(consts [][]byte, nodes ...[]byte) []byte {
	f := linear(tensorOf("w", linearWeights, 3, 2))
	f.nodes = append(slices.Clone(nodes),
		nodeOf("Cast", []string{"h"}, []string{"hf"}, castTo(typeFloat)),
		nodeOf("ReduceMax", []string{"hf"}, []string{"hs"}, wholeAttr("keepdims", 0)),
		nodeOf("Add", []string{"x", "hs"}, []string{"z"}),
		nodeOf("MatMul", []string{"z", "w"}, []string{"y"}))
	f.consts = append(f.consts, consts...)
	return f.bytes()
}

// imageThrough is one whose rows pass nodes from x to h, an image (1, 4, 4) each
// before them; what is left is added up to the scores.
func imageThrough(consts [][]byte, nodes ...[]byte) []byte {
	f := linear(tensorOf("w", linearWeights[:2], 1, 2)).with(nil, -1, 1, 4, 4)
	f.nodes = append(slices.Clone(nodes),
		nodeOf("ReduceMean", []string{"h"}, []string{"hm"}, intsAttr("axes", 1, 2, 3), wholeAttr("keepdims", 0)),
		nodeOf("Unsqueeze", []string{"hm", "one"}, []string{"hs"}),
		nodeOf("MatMul", []string{"hs", "w"}, []string{"y"}))
	f.consts = append(f.consts, intsOf("one", []int64{1}, 1))
	f.consts = append(f.consts, consts...)
	return f.bytes()
}

func list(name string, xs ...int64) []byte { return intsOf(name, xs, int64(len(xs))) }

func wordAttr(name, s string) []byte { return text(text(nil, 1, name), 4, s) }

func wordsAttr(name string, words ...string) []byte {
	b := text(nil, 1, name)
	for _, w := range words {
		b = text(b, 9, w)
	}
	return b
}

func tensorAttr(name string, tensor []byte) []byte { return message(text(nil, 1, name), 5, tensor) }

// filled is a ConstantOfShape named out, of the shape in the constant.
func filled(shape, out string, value []byte) []byte {
	if value == nil {
		return nodeOf("ConstantOfShape", []string{shape}, []string{out})
	}
	return nodeOf("ConstantOfShape", []string{shape}, []string{out}, tensorAttr("value", value))
}

// casts is a chain from h0 to h, to each element type in turn.
func casts(n int, to ...int64) [][]byte {
	var nodes [][]byte
	for i := range n {
		next := fmt.Sprintf("h%d", i+1)
		if i == n-1 {
			next = "h"
		}
		nodes = append(nodes, nodeOf("Cast", []string{fmt.Sprintf("h%d", i)}, []string{next}, castTo(to[i%len(to)])))
	}
	return nodes
}

func hostileShapes() []hostile {
	const k = "made of a shape"
	flat := [][]byte{list("s", 1<<28)}
	return []hostile{
		{kind: k, name: "2^28 numbers and 8 casts", want: "operator ConstantOfShape", model: of(flat, append([][]byte{filled("s", "h0", nil)}, casts(8, typeInt64, typeFloat)...)...)},
		{kind: k, name: "2^23 numbers and 20 casts", model: of([][]byte{list("s", 1<<23)}, append([][]byte{filled("s", "h0", nil)}, casts(20, typeInt64, typeFloat)...)...)},
		{kind: k, name: "2^26 whole numbers", want: "wants 512 MiB of memory", model: of([][]byte{list("s", 1<<26)}, filled("s", "h", intsOf("", []int64{7}, 1)))},
		{kind: k, name: "Range to 2^28", want: "operator Range", model: of([][]byte{intsOf("a", []int64{0}), intsOf("b", []int64{1 << 28}), intsOf("c", []int64{1})}, nodeOf("Range", []string{"a", "b", "c"}, []string{"h"}))},
		{kind: k, name: "Range by 0", want: "counts from 0 to 5 by 0", model: of([][]byte{intsOf("a", []int64{0}), intsOf("b", []int64{5}), intsOf("c", []int64{0})}, nodeOf("Range", []string{"a", "b", "c"}, []string{"h"}))},
		{kind: k, name: "rows expanded to 2^27", want: "operator Expand", model: of([][]byte{list("s", 1<<27, 1, 1)}, nodeOf("Expand", []string{"x", "s"}, []string{"h"}))},
		{kind: k, name: "rows tiled 2^26 times", want: "operator Tile", model: of([][]byte{list("s", 1, 1<<26)}, nodeOf("Tile", []string{"x", "s"}, []string{"h"}))},
		{kind: k, name: "size that wraps round to 0", want: "gives the shape", model: of([][]byte{list("s", 1<<16, 1<<16, 1<<16, 1<<16)}, filled("s", "h", nil))},
		{kind: k, name: "no numbers in a shape that wraps", want: "gives the shape", model: of([][]byte{list("s", 0, 1<<28, 1<<28, 1<<28)}, filled("s", "h", nil))},
		{kind: k, name: "negative dimension", want: "wants the shape", model: of([][]byte{list("s", -8)}, filled("s", "h", nil))},
		{kind: k, name: "a million dimensions", want: "dimensions, want at most 16", model: of([][]byte{list("t", 1<<20)}, filled("t", "s", intsOf("", []int64{1}, 1)), filled("s", "h", nil))},
		{kind: k, name: "Reshape to 2^62", want: "cannot turn shape", model: of([][]byte{list("s", 1<<31, 1<<31, -1)}, nodeOf("Reshape", []string{"x", "s"}, []string{"h"}))},
		{kind: k, name: "Reshape to 2^22 dimensions", want: "dimensions, want at most 16", model: of([][]byte{list("t", 1<<22)}, filled("t", "s", intsOf("", []int64{1}, 1)), nodeOf("Reshape", []string{"x", "s"}, []string{"h"}))},
		{kind: k, name: "mask of Dropout", want: "operator Dropout", model: of([][]byte{list("s", 1<<25)}, filled("s", "a", nil), nodeOf("Dropout", []string{"a"}, []string{"h", "m"}), nodeOf("Cast", []string{"m"}, []string{"n"}, castTo(typeFloat)), nodeOf("Add", []string{"h", "n"}, []string{"h2"}), nodeOf("Add", []string{"x", "h2"}, []string{"h3"}))},
	}
}

func hostileChains() []hostile {
	const k = "grows from node to node"
	var joined [][]byte
	last := "x"
	for i := range 40 {
		next := fmt.Sprintf("j%d", i)
		joined = append(joined, nodeOf("Concat", []string{last, last}, []string{next}, wholeAttr("axis", 1)))
		last = next
	}
	joined = append(joined, nodeOf("Identity", []string{last}, []string{"h"}))
	outer := [][]byte{filled("a", "u", nil), filled("b", "v", nil), nodeOf("Add", []string{"u", "v"}, []string{"h"})}
	square := [][]byte{filled("s", "u", nil), nodeOf("MatMul", []string{"u", "u"}, []string{"h"})}
	sums := [][]byte{filled("s", "u", nil), nodeOf("ReduceSum", []string{"u"}, []string{"h"})}
	for i := range 3000 {
		sums = append(sums, nodeOf("ReduceSum", []string{"u"}, []string{fmt.Sprintf("r%d", i)}, wholeAttr("keepdims", 0)))
	}
	sums[1] = nodeOf("Sum", slices.Collect(func(yield func(string) bool) {
		for i := range 3000 {
			if !yield(fmt.Sprintf("r%d", i)) {
				return
			}
		}
	}), []string{"h"})
	sums = append(sums[:1:1], append(sums[2:], sums[1])...)
	wide := [][]byte{nodeOf("Expand", []string{"x", "s"}, []string{"e"}), nodeOf("ReduceProd", []string{"e"}, []string{"h"}, intsAttr("axes", 0))}
	letters := "ijklmnopqrstuvwxyzabcdefgh"
	return []hostile{
		{kind: k, name: "Concat with itself 40 times", want: "operator Concat", model: of(nil, joined...)},
		{kind: k, name: "a column plus a row", want: "operator Add", model: of([][]byte{list("a", 1<<15, 1), list("b", 1, 1<<15)}, outer...)},
		{kind: k, name: "2^36 multiplications at load", want: "multiply-adds", model: of([][]byte{list("s", 1<<12, 1<<12)}, square...)},
		{kind: k, name: "3000 sums of one tensor", want: "multiply-adds", model: of([][]byte{list("s", 1<<22)}, sums...)},
		{kind: k, name: "product whose gradient takes squares", want: "operator ReduceProd", model: of([][]byte{list("s", 1<<16, 1, 1)}, wide...)},
		{kind: k, name: "Einsum of four vectors", want: "operator Einsum", model: of([][]byte{list("s", 1<<9)}, filled("s", "u", nil), nodeOf("Einsum", []string{"u", "u", "u", "u"}, []string{"h"}, wordAttr("equation", "i,j,k,l->ijkl")))},
		{kind: k, name: "Einsum of 5000 operands", want: "operands, want at most", model: of([][]byte{list("s", 2)}, filled("s", "u", nil), nodeOf("Einsum", slices.Repeat([]string{"u"}, 5000), []string{"h"}, wordAttr("equation", strings.Repeat("i,", 4999)+"i->")))},
		{kind: k, name: "Einsum of 26 labels", want: "operator Einsum", model: of([][]byte{list("s", 1<<12)}, filled("s", "u", nil), nodeOf("Einsum", slices.Repeat([]string{"u"}, 26), []string{"h"}, wordAttr("equation", strings.Join(strings.Split(letters, ""), ",")+"->"+letters)))},
		{kind: k, name: "Split into 2^60 parts", want: "parts, and has 1 outputs", model: of(nil, nodeOf("Split", []string{"x"}, []string{"h"}, wholeAttr("num_outputs", 1<<60)))},
		{kind: k, name: "Sum of 200,000 operands", want: "operator Sum", model: of(nil, nodeOf("Sum", slices.Repeat([]string{"x"}, 200_000), []string{"h"}))},
		{kind: k, name: "Concat of 200,000 operands", want: "depends on the other rows", model: of(nil, nodeOf("Concat", slices.Repeat([]string{"x"}, 200_000), []string{"h"}, wholeAttr("axis", 1)))},
		{kind: k, name: "2^25 numbers where the config allows 64 MiB", want: "may take 64 MiB", json: `"memory": "64MiB"`, model: of([][]byte{list("s", 1<<25)}, filled("s", "h", nil))},
		{kind: k, name: "work where the config allows 10^6", want: "may do 1e+06 each", json: `"work": 1e6`, model: of([][]byte{list("s", 1<<20)}, filled("s", "h", nil))},
	}
}

func hostileWindows() []hostile {
	const k = "windows"
	one := tensorOf("k", []float32{1}, 1, 1, 1, 1)
	four := tensorOf("k", []float32{1, 2, 3, 4}, 1, 1, 2, 2)
	conv := func(kernel []byte, a ...[]byte) []byte {
		return imageThrough([][]byte{kernel}, nodeOf("Conv", []string{"x", "k"}, []string{"h"}, a...))
	}
	pool := func(op string, a ...[]byte) []byte {
		return imageThrough(nil, nodeOf(op, []string{"x"}, []string{"h"}, a...))
	}
	return []hostile{
		{kind: k, name: "Conv dilated by 2^19", want: "dilated window is too large", model: conv(four, intsAttr("dilations", 1<<19, 1<<19), intsAttr("pads", 1<<19, 1<<19, 1<<19, 1<<19))},
		{kind: k, name: "Conv padded to 2^42 pixels", want: "operator Conv", model: conv(one, intsAttr("pads", 1<<20-1, 1<<20-1, 1<<20-1, 1<<20-1))},
		{kind: k, name: "Conv of strides 2^20, whose way back has 2^40 phases", want: "the backward pass of operator Conv", model: conv(four, intsAttr("strides", 1<<20, 1<<20))},
		{kind: k, name: "Conv in −1 groups", want: "in -1 groups", model: conv(one, wholeAttr("group", -1))},
		{kind: k, name: "Conv in 2^62 groups", want: "groups", model: conv(one, wholeAttr("group", 1<<62))},
		{kind: k, name: "Conv dilated by −1", want: "want positive numbers", model: conv(four, intsAttr("dilations", -1, -1))},
		{kind: k, name: "ConvTranspose to 2^40 pixels", want: "gives the shape", model: imageThrough([][]byte{one}, nodeOf("ConvTranspose", []string{"x", "k"}, []string{"h"}, intsAttr("output_shape", 1<<40, 1<<40)))},
		{kind: k, name: "ConvTranspose to −2^63 pixels", want: "gives the shape", model: imageThrough([][]byte{one}, nodeOf("ConvTranspose", []string{"x", "k"}, []string{"h"}, intsAttr("output_shape", math.MinInt64, 1)))},
		{kind: k, name: "MaxPool of 10^6 pixels at 10^6 places", want: "multiply-adds", model: pool("MaxPool", intsAttr("kernel_shape", 1000, 1000), intsAttr("pads", 999, 999, 999, 999), intsAttr("dilations", 1, 1))},
		{kind: k, name: "AveragePool of 2^40 pixels", want: "operator AveragePool", model: pool("AveragePool", intsAttr("kernel_shape", 1<<20, 1<<20), intsAttr("pads", 1<<20-1, 1<<20-1, 1<<20-1, 1<<20-1), wholeAttr("count_include_pad", 1))},
		{kind: k, name: "LRN over 2^62 channels", want: "", model: pool("LRN", wholeAttr("size", 1<<62))},
	}
}

func hostileIndices() []hostile {
	const k = "pads, sizes and indices"
	pads := func(p ...int64) []byte {
		return imageThrough([][]byte{list("p", p...)}, nodeOf("Pad", []string{"x", "p"}, []string{"h"}))
	}
	sizes := func(mode string, s ...int64) []byte {
		return imageThrough([][]byte{list("s", s...)}, nodeOf("Resize", []string{"x", "", "", "s"}, []string{"h"}, wordAttr("mode", mode)))
	}
	scales := func(s ...float32) []byte {
		return imageThrough([][]byte{tensorOf("s", s, 4)}, nodeOf("Resize", []string{"x", "", "s"}, []string{"h"}))
	}
	nan := float32(math.NaN())
	pick := func(op string, at ...int64) []byte {
		return of([][]byte{intsOf("i", at, 1, int64(len(at)))}, nodeOf(op, []string{"x", "i"}, []string{"h"}, wholeAttr("axis", 1)))
	}
	return []hostile{
		{kind: k, name: "Pad by 2^28", want: "operator Pad", model: pads(0, 0, 1<<28, 0, 0, 0, 0, 0)},
		{kind: k, name: "Pad by 2^20 twice", want: "operator Pad", model: pads(0, 0, 1<<20, 1<<20, 0, 0, 0, 0)},
		{kind: k, name: "Pad by −2^62", want: "operator Pad", model: pads(0, 0, -1<<62, 0, 0, 0, 0, 0)},
		{kind: k, name: "Resize to 2^24 by 2^24, cubic", want: "operator Resize", model: sizes("cubic", 1, 1, 1<<24, 1<<24)},
		{kind: k, name: "Resize to 2^24 rows, nearest", want: "operator Resize", model: sizes("nearest", 1, 1, 1<<24, 4)},
		{kind: k, name: "Resize to a negative size", want: "operator Resize", model: sizes("linear", 1, 1, -4, 4)},
		{kind: k, name: "Resize by NaN", want: "has scales", model: scales(1, 1, nan, 1)},
		{kind: k, name: "Resize by infinity", want: "has scales", model: scales(1, 1, float32(math.Inf(1)), 1)},
		{kind: k, name: "Gather at 2^40", want: "operator Gather", model: pick("Gather", 1<<40)},
		{kind: k, name: "Gather at −2^63", want: "index", model: pick("Gather", math.MinInt64)},
		{kind: k, name: "GatherElements beyond", want: "operator GatherElements", model: pick("GatherElements", 3, -4)},
		{kind: k, name: "Gather at 2^24 places", want: "operator Gather", model: of([][]byte{list("s", 1<<24)}, filled("s", "i", intsOf("", []int64{1}, 1)), nodeOf("Gather", []string{"x", "i"}, []string{"h"}, wholeAttr("axis", 1)))},
		{kind: k, name: "Slice with 2^20 starts", want: "starts for shape", model: of([][]byte{list("s", 1<<20)}, filled("s", "i", intsOf("", []int64{1}, 1)), nodeOf("Slice", []string{"x", "i", "i"}, []string{"h"}))},
		{kind: k, name: "OneHot of 2^30", want: "operator OneHot", model: of([][]byte{list("d", 1<<30), tensorOf("v", []float32{0, 1}, 2)}, nodeOf("OneHot", []string{"x", "d", "v"}, []string{"h"}))},
	}
}

func hostileGraphs() []hostile {
	const k = "graphs"
	w := tensorOf("w", linearWeights, 3, 2)
	chain := func(n int) []byte {
		nodes := make([][]byte, 0, n+1)
		for i := range n {
			nodes = append(nodes, nodeOf("Identity", []string{pick(i == 0, "x", fmt.Sprint(i))}, []string{fmt.Sprint(i + 1)}))
		}
		return linear(w).with(append(nodes, nodeOf("MatMul", []string{fmt.Sprint(n), "w"}, []string{"y"}))).bytes()
	}
	twice := linear(w)
	twice.consts = append(twice.consts, w)
	shadow := linear(w).with([][]byte{nodeOf("Relu", []string{"x"}, []string{"w"}), nodeOf("MatMul", []string{"x", "w"}, []string{"y"})})
	empty := linear(w).with(append(slices.Repeat([][]byte{nil}, 400_000), nodeOf("MatMul", []string{"x", "w"}, []string{"y"})))
	many := linear(w).with([][]byte{nodeOf("MatMul", []string{"x", "w"}, []string{"y"}, slices.Repeat([][]byte{text(nil, 1, "a")}, 400_000)...)})
	names := linear(w)
	names.out = nil
	for i := range 50_000 {
		names.out = append(names.out, portOf(fmt.Sprintf("%d%s", i, strings.Repeat("n", 200)), typeFloat, -1, 2))
	}
	return []hostile{
		{kind: k, name: "circle of three", want: "reads", model: linear(w).with([][]byte{nodeOf("Add", []string{"x", "c"}, []string{"a"}), nodeOf("Relu", []string{"a"}, []string{"b"}), nodeOf("Relu", []string{"b"}, []string{"c"}), nodeOf("MatMul", []string{"c", "w"}, []string{"y"})}).bytes()},
		{kind: k, name: "circle that the head follows", want: "reads", model: linear(w).with([][]byte{nodeOf("Identity", []string{"y"}, []string{"a"}), nodeOf("Identity", []string{"a"}, []string{"y"})}).bytes()},
		{kind: k, name: "100,000 Identities", model: chain(100_000)},
		{kind: k, name: "a million Identities", want: "of memory", model: chain(1_000_000)},
		{kind: k, name: "400,000 empty nodes", want: "of memory", model: empty.bytes()},
		{kind: k, name: "400,000 attributes", want: "of memory", model: many.bytes()},
		{kind: k, name: "initializer twice", want: "is there twice", model: twice.bytes()},
		{kind: k, name: "initializer that a node computes too", want: "is an initializer, and", model: shadow.bytes()},
		{kind: k, name: "50,000 outputs of long names", want: "more", model: names.bytes()},
		{kind: k, name: "100,000 groups in each other", want: "encoding is broken", model: bytes.Repeat([]byte{0x0b}, 100_000)},
	}
}
