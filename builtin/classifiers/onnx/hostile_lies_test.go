package onnx

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

func hostileTensors() []hostile {
	const k = "tensors that lie"
	one := func(w []byte) []byte { return linear(w).bytes() }
	sparse := linear(nil)
	sparse.consts = nil
	whole := func(elem int64, raw int, dims ...int64) []byte { // of the raw bytes
		return message(header("s", elem, dims...), 9, make([]byte, raw))
	}
	read := nodeOf("ReduceSum", []string{"s"}, []string{"h"})
	length := outsideOf("w", "w.bin", "0", 3, 2)
	length = message(length, 13, text(text(nil, 1, "length"), 2, "-1"))
	segments := message(header("w", typeFloat, 3, 2), 3, varint(nil, 1, 1<<40))
	return []hostile{
		{kind: k, name: "2^29 numbers that are not there", want: "0 numbers for shape", model: one(header("w", typeFloat, 1<<29))},
		{kind: k, name: "sizes whose product wraps round", want: "at most", model: one(header("w", typeFloat, 1<<32, 1<<32))},
		{kind: k, name: "no numbers in a shape that wraps", want: "at most", model: one(header("w", typeFloat, 0, 1<<40, 1<<40))},
		{kind: k, name: "a million dimensions", want: "dimensions, want at most 16", model: one(header("w", typeFloat, slices.Repeat([]int64{1}, 1_000_000)...))},
		{kind: k, name: "2^23 numbers of 4 bits", model: of([][]byte{whole(typeUint4, 1<<22, 1<<23)}, read)},
		{kind: k, name: "strings as weights", want: "type that is not supported", model: one(text(header("w", typeString, 1), 6, strings.Repeat("a", 1<<20)))},
		{kind: k, name: "sparse weights", want: "sparse initializers are not supported", model: append(sparse.bytes(), message(nil, 7, message(nil, 15, varint(nil, 3, 1<<40)))...)},
		{kind: k, name: "segments of 2^40", want: "segments are not supported", model: one(segments)},
		{kind: k, name: "element type 99", want: "type that is not supported", model: one(header("w", 99, 3, 2))},
		{kind: k, name: "outside at offset 2^63−1", want: "want a file with 24 bytes", model: one(outsideOf("w", "w.bin", fmt.Sprint(int64(math.MaxInt64)), 3, 2))},
		{kind: k, name: "outside at offset 2^64", want: "want a number", model: one(outsideOf("w", "w.bin", "18446744073709551616", 3, 2))},
		{kind: k, name: "outside, of length −1", want: "want a number", model: one(length)},
		{kind: k, name: "outside, 2^29 numbers of 40 bytes", want: "want a file with 2147483648 bytes", model: one(outsideOf("w", "w.bin", "", 1<<29))},
		{kind: k, name: "outside in ../", want: "inside the model's folder", model: one(outsideOf("w", "a/../../w.bin", "", 3, 2))},
		{kind: k, name: "outside through a link", want: "external data", model: one(outsideOf("w", "link", "", 3, 2)), beside: "link"},
		{kind: k, name: "outside in a pipe", want: "want a file", model: one(outsideOf("w", "pipe", "", 3, 2)), beside: "pipe"},
		{kind: k, name: "outside in the folder itself", want: "want a file", model: one(outsideOf("w", ".", "", 3, 2))},
	}
}

func hostileGrids() []hostile {
	const k = "grids of quantised numbers"
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	scale := func(name string, s ...float32) []byte {
		return tensorOf(name, s, int64(len(s)))
	}
	steps := func(s []float32, a ...[]byte) []byte { // x to a grid and back
		return of([][]byte{scale("s", s...), scale("t", 1)},
			nodeOf("QuantizeLinear", []string{"x", "s"}, []string{"q"}, a...), nodeOf("DequantizeLinear", []string{"q", "t"}, []string{"h"}))
	}
	product := func(sx, sw, sy float32) []byte {
		raw := func(name string, b ...byte) []byte { return message(header(name, typeUint8, int64(len(b))), 9, b) }
		w := message(header("v", typeUint8, 3, 2), 9, []byte{1, 2, 3, 4, 5, 6})
		return of([][]byte{scale("s", 1), scale("a", sx), scale("b", sw), scale("c", sy), scale("t", 1), raw("o", 0), w},
			nodeOf("QuantizeLinear", []string{"x", "s", "o"}, []string{"q"}),
			nodeOf("QLinearMatMul", []string{"q", "a", "o", "v", "b", "o", "c", "o"}, []string{"p"}),
			nodeOf("DequantizeLinear", []string{"p", "t", "o"}, []string{"h"}))
	}
	return []hostile{
		{kind: k, name: "steps of 0", want: "its scale, which is 0", model: steps([]float32{0})},
		{kind: k, name: "steps of NaN", want: "a scale, is NaN", model: steps([]float32{nan})},
		{kind: k, name: "steps of infinity", want: "a scale, is +Inf", model: steps([]float32{inf})},
		{kind: k, name: "seven scales for three columns", want: "has 7 scales for shape", model: steps([]float32{1, 1, 1, 1, 1, 1, 1}, wholeAttr("axis", 1))},
		{kind: k, name: "blocks of 2^62", want: "in blocks of", model: steps([]float32{1, 1}, wholeAttr("axis", 1), wholeAttr("block_size", 1<<62))},
		{kind: k, name: "blocks of −1", want: "in blocks of", model: steps([]float32{1, 1}, wholeAttr("axis", 1), wholeAttr("block_size", -1))},
		{kind: k, name: "a product in steps of 0", want: "operator QLinearMatMul", model: product(1, 1, 0)},
		{kind: k, name: "scales whose product overflows", want: "are worth +Inf", model: product(3e38, 3e38, 1)},
		{kind: k, name: "a product of NaN", want: "are worth NaN", model: product(1, nan, 1)},
	}
}

// forestOf is a tree ensemble of two classes; edit changes its lists.
func forestOf(n int, yes, no func(i int) int64, edit func(ints map[string][]int64)) []byte {
	ints := map[string][]int64{}
	modes, values := make([]string, n), make([]float32, n)
	for i := range n {
		ints["nodes_treeids"] = append(ints["nodes_treeids"], 0)
		ints["nodes_nodeids"] = append(ints["nodes_nodeids"], int64(i))
		ints["nodes_featureids"] = append(ints["nodes_featureids"], 0)
		y, m := yes(i), no(i)
		ints["nodes_truenodeids"], ints["nodes_falsenodeids"] = append(ints["nodes_truenodeids"], y), append(ints["nodes_falsenodeids"], m)
		modes[i] = pick(y < 0, "LEAF", "BRANCH_LEQ")
		values[i] = float32(i) / float32(n)
		if y < 0 {
			ints["nodes_truenodeids"][i], ints["nodes_falsenodeids"][i] = 0, 0
			ints["class_treeids"], ints["class_nodeids"] = append(ints["class_treeids"], 0), append(ints["class_nodeids"], int64(i))
			ints["class_ids"] = append(ints["class_ids"], int64(i%2))
		}
	}
	weights := slices.Repeat([]float32{1}, len(ints["class_ids"]))
	ints["classlabels_int64s"] = []int64{0, 1}
	if edit != nil {
		edit(ints)
	}
	attributes := [][]byte{wordsAttr("nodes_modes", modes...), floatsAttr("nodes_values", values...), floatsAttr("class_weights", weights...)}
	for name, xs := range ints {
		var packed []byte
		for _, x := range xs {
			packed = protowire.AppendVarint(packed, uint64(x))
		}
		attributes = append(attributes, message(text(nil, 1, name), 8, packed))
	}
	f := linear(nil).with([][]byte{inDomain(domainML, nodeOf("TreeEnsembleClassifier", []string{"x"}, []string{"label", "y"}, attributes...))})
	f.consts = nil
	return f.bytes()
}

func hostileForests() []hostile {
	const k = "trees and vector machines"
	// A chain: each branch leads to a leaf and to the next branch.
	yes := func(n int) func(int) int64 {
		return func(i int) int64 { return pick(i%2 == 0 && i+2 < n, int64(i+1), -1) }
	}
	no := func(i int) int64 { return int64(i + 2) }
	small := func(edit func(map[string][]int64)) []byte { return forestOf(7, yes(7), no, edit) }
	svm := func(labels int, vectors, per []int64, coefficients, rho int) []byte {
		names := make([]int64, labels)
		for i := range names {
			names[i] = int64(i)
		}
		f := linear(nil).with([][]byte{inDomain(domainML, nodeOf("SVMClassifier", []string{"x"}, []string{"label", "y"},
			intsAttr("classlabels_ints", names...), intsAttr("vectors_per_class", per...), floatsAttr("coefficients", make([]float32, coefficients)...),
			floatsAttr("rho", make([]float32, rho)...), floatsAttr("support_vectors", make([]float32, 3*len(vectors))...),
			floatsAttr("prob_a", make([]float32, rho)...), floatsAttr("prob_b", make([]float32, rho)...), wordAttr("kernel_type", "RBF")))})
		f.consts = nil
		return f.bytes()
	}
	two := []int64{0, 1}
	return []hostile{
		{kind: k, name: "tree with a circle", want: "leads to node", model: small(func(m map[string][]int64) { m["nodes_falsenodeids"][4] = 0; m["nodes_truenodeids"][0] = 2 })},
		{kind: k, name: "tree that leads to itself", want: "leads to node 0", model: small(func(m map[string][]int64) { m["nodes_truenodeids"][0] = 0 })},
		{kind: k, name: "tree with an absent node", want: "leads to node 4000000000000", model: small(func(m map[string][]int64) { m["nodes_truenodeids"][2] = 4_000_000_000_000 })},
		{kind: k, name: "tree without a root", want: "has no root", model: small(func(m map[string][]int64) {
			copy(m["nodes_treeids"], []int64{1, 1, 1, 1})
			m["nodes_falsenodeids"][2] = 0
		})},
		{kind: k, name: "node twice", want: "twice", model: small(func(m map[string][]int64) { m["nodes_nodeids"][3] = 2 })},
		{kind: k, name: "feature 2^40", want: "asks for feature", model: small(func(m map[string][]int64) { m["nodes_featureids"][0] = 1 << 40 })},
		{kind: k, name: "lists of different lengths", want: "not of one length", model: small(func(m map[string][]int64) { m["nodes_treeids"] = m["nodes_treeids"][:3] })},
		{kind: k, name: "vote for class 2^40", want: "has a vote for class", model: small(func(m map[string][]int64) { m["class_ids"][0] = 1 << 40 })},
		{kind: k, name: "one branch of 200,000 nodes", want: "has none", json: `"gradient": "required"`, model: forestOf(200_001, yes(200_001), no, nil)},
		{kind: k, name: "machine of 2^60 vectors", want: "support vectors of a class", model: svm(2, two, []int64{1 << 60, 1}, 2, 1)},
		{kind: k, name: "machine of −1 vectors", want: "support vectors of a class", model: svm(2, two, []int64{-1, 3}, 2, 1)},
		{kind: k, name: "machine with too few coefficients", want: "do not fit each other", model: svm(2, two, []int64{1, 1}, 1, 1)},
		{kind: k, name: "machine of 100,000 classes", want: "do not fit each other", model: svm(100_000, two, slices.Repeat([]int64{0}, 100_000), 2, 1)},
		{kind: k, name: "machine of 1000 classes that are coupled", want: "multiply-adds", json: `"work": 1e7`, model: svm(1000, two, append([]int64{1, 1}, make([]int64, 998)...), 999*2, 1000*999/2)},
		{kind: k, name: "a million labels", want: "coefficients", model: of(nil, inDomain(domainML, nodeOf("LinearClassifier", []string{"x"}, []string{"l", "h"}, floatsAttr("coefficients", 1, 2), intsAttr("classlabels_ints", make([]int64, 1_000_000)...))))},
	}
}

func hostileNumbers() []hostile {
	const k = "numbers that are none, and inputs"
	column := func(name string, v ...float32) []byte { return tensorOf(name, v, int64(len(v))) }
	normal := func(variance ...float32) []byte {
		f := linear(tensorOf("w", linearWeights, 3, 2))
		f.nodes = append([][]byte{nodeOf("BatchNormalization", []string{"x", "a", "b", "m", "v"}, []string{"z"})}, nodeOf("MatMul", []string{"z", "w"}, []string{"y"}))
		f.consts = append(f.consts, column("a", 1, 1, 1), column("b", 0, 0, 0), column("m", 0, 0, 0), column("v", variance...))
		return f.bytes()
	}
	nan := float32(math.NaN())
	wide := func(dims ...int64) []byte {
		return linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{nodeOf("MatMul", []string{"x", "w"}, []string{"y"})}, dims...).bytes()
	}
	return []hostile{
		{kind: k, name: "variance of −1", want: "operator BatchNormalization", model: normal(-1, -1, -1)},
		{kind: k, name: "variance of NaN", want: "NaN", model: normal(1, nan, 1)},
		{kind: k, name: "numbers over 0 less themselves", want: "every answer is NaN", model: of([][]byte{column("o", 0)}, nodeOf("Div", []string{"x", "o"}, []string{"i"}), nodeOf("Sub", []string{"i", "i"}, []string{"h"}))},
		{kind: k, name: "weights of NaN", want: "its input \"w\" holds it", model: linear(tensorOf("w", slices.Repeat([]float32{nan}, 6), 3, 2)).bytes()},
		{kind: k, name: "whole numbers over 0", want: "divides an integer by zero", model: of([][]byte{list("a", 5), list("b", 0)}, nodeOf("Div", []string{"a", "b"}, []string{"h"}))},
		{kind: k, name: "input of 2^58 numbers a row", want: "input \"x\"", model: wide(-1, 1<<29, 1<<29)},
		{kind: k, name: "input of 2^27 numbers a row", want: "rows of input \"x\"", json: `"memory": "256MiB"`, model: wide(-1, 1<<24, 3)},
		{kind: k, name: "batch of 2^28", want: "has a batch of", model: wide(1<<28, 3)},
		{kind: k, name: "input of 20 dimensions", want: "more than 16 dimensions", model: wide(slices.Repeat([]int64{1}, 20)...)},
	}
}
