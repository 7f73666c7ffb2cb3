package onnx

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// inDomain is a NodeProto of another domain.
func inDomain(domain string, node []byte) []byte { return text(node, 7, domain) }

func wholeAttr(name string, i int64) []byte { return varint(text(nil, 1, name), 3, i) }

func floatsAttr(name string, fs ...float32) []byte {
	b := text(nil, 1, name)
	return message(b, 7, floatBytes(fs))
}

func intsAttr(name string, is ...int64) []byte {
	b := text(nil, 1, name)
	for _, i := range is {
		b = varint(b, 8, i)
	}
	return b
}

// scored is linear of three classes with nodes after its scores z; y is the
// answer unless outs are given.
func scored(nodes [][]byte, outs ...[]byte) file {
	f := linear(tensorOf("w", []float32{1, 2, 3, 4, 5, 6, 7, 8, -9}, 3, 3))
	f.nodes = append([][]byte{nodeOf("MatMul", []string{"x", "w"}, []string{"z"})}, nodes...)
	f.out = [][]byte{portOf("y", typeFloat, -1, 3)}
	if outs != nil {
		f.out = outs
	}
	return f
}

// classifierOf is a linear classifier of the labels.
func classifierOf(labels ...int64) []byte {
	weights := make([]float32, 3*len(labels))
	for i := range weights {
		weights[i] = float32(i%5) - 2
	}
	return inDomain(domainML, nodeOf("LinearClassifier", []string{"x"}, []string{"label", "y"}, floatsAttr("coefficients", weights...), intsAttr("classlabels_ints", labels...)))
}

// TestRefused holds what is refused before training, with the cause and the
// way out.
func TestRefused(t *testing.T) {
	one := func(op string, a ...[]byte) [][]byte { return [][]byte{nodeOf(op, []string{"z"}, []string{"y"}, a...)} }
	label := portOf("label", typeInt64, -1)
	column := linear(tensorOf("w", []float32{1, 2, 3}, 3, 1))
	column.nodes = [][]byte{nodeOf("MatMul", []string{"x", "w"}, []string{"z"}), nodeOf("Softmax", []string{"z"}, []string{"y"})}
	fixed := linear(tensorOf("w", linearWeights, 3, 2))
	fixed.nodes = [][]byte{nodeOf("MatMul", []string{"c", "w"}, []string{"y"})}
	fixed.consts = append(fixed.consts, tensorOf("c", []float32{1, 2, 3}, 1, 3))
	for _, c := range []struct {
		name  string
		model file
		json  string
		want  string
	}{
		{"several labels", scored(one("Sigmoid")), "", "several labels may hold at once, and a detector is for one class of several. Where exactly one holds, say output: z and kind: logits"},
		{"softmax over the batch", scored(one("Softmax", wholeAttr("axis", 0))), "", "is over axis 0 of shape [3 3], not over the classes"},
		{"normalised over the batch", scored([][]byte{nodeOf("ReduceMax", []string{"z"}, []string{"m"}, intsAttr("axes", 0)), nodeOf("Sub", []string{"z", "m"}, []string{"y"})}), "", "depends on the other rows of its batch"},
		{"one class", column, "", "there is one class"},
		{"one label", scored([][]byte{classifierOf(7)}), "", "knows one class"},
		{"labels by ArgMax", scored([][]byte{nodeOf("ArgMax", []string{"z"}, []string{"label"}, wholeAttr("axis", 1), wholeAttr("keepdims", 0))}, label), "", "output: z"},
		{"labels of a classifier", scored([][]byte{classifierOf(0, 1, 2)}, label), "", "output: y"},
		{"labels alone", scored([][]byte{nodeOf("Cast", []string{"z"}, []string{"label"}, castTo(typeInt64))}, label), "", "export it with its scores"},
		{"the label by name", scored([][]byte{classifierOf(0, 1, 2)}, label, portOf("y", typeFloat, -1, 3)), `"output": "label"`, `"label" holds labels, and a detector compares scores: output: y`},
		{"whole numbers by name", scored([][]byte{nodeOf("ArgMax", []string{"z"}, []string{"label"}, wholeAttr("axis", 1))}, label), `"output": "label"`, "holds whole numbers or labels"},
		{"a regression", scored([][]byte{inDomain(domainML, nodeOf("LinearRegressor", []string{"x"}, []string{"y"}, floatsAttr("coefficients", 1, 2, 3)))}), "", "is a regression"},
		{"one answer for the batch", scored(one("ReduceMean", intsAttr("axes", 0), wholeAttr("keepdims", 0))), "", "want (1, classes)"},
		{"a map", scored([][]byte{nodeOf("Reshape", []string{"x", "s"}, []string{"y"})}), "", "sequences, maps and boxes are no classes"},
		{"a constant", fixed, "", "does not depend on the input"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.model.consts = append(c.model.consts, intsOf("s", []int64{-1, 3, 1, 1}, 4))
			if c.name == "a map" {
				c.model.consts[len(c.model.consts)-1] = intsOf("s", []int64{-1, 1, 3}, 3)
			}
			json := justModel
			if c.json != "" {
				json = `{"model": "m.onnx", ` + c.json + `}`
			}
			_, err := configure(t, c.model.bytes(), json, nil, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestOperatorsFirst: a model that cannot be computed is refused for that,
// not for what else it leaves open.
func TestOperatorsFirst(t *testing.T) {
	recurrent := func(outs ...[]byte) file {
		f := scored([][]byte{nodeOf("LSTM", []string{"z", "state", "sr"}, []string{"y", "stateN"})}, outs...)
		f.in = [][]byte{portOf("x", typeFloat, -1, -1), portOf("state", typeFloat, 2, -1, 128), portOf("sr", typeInt64)}
		return f
	}
	strings3 := scored([][]byte{nodeOf("If", []string{"z"}, []string{"y"})})
	strings3.in = [][]byte{portOf("x", typeString, -1, 3)}
	for _, c := range []struct {
		name  string
		model file
		want  string
	}{
		{"several inputs, free shapes", recurrent(), "operator LSTM (node \"LSTM_0\", opset 13) is not supported: it is a recurrent layer; name an output before it"},
		{"no output looks like scores", recurrent(portOf("y", typeFloat, -1, 1, 1), portOf("stateN", typeFloat, 1, -1, 128)), "it is a recurrent layer"},
		{"another output can be had", recurrent(portOf("y", typeFloat, -1, 1, 1), portOf("x3", typeFloat, 1, -1, 128)), "which output is meant?"},
		{"strings go before", strings3, "is of strings"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := configure(t, c.model.bytes(), justModel, nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestWaysOut takes what the refusals suggest.
func TestWaysOut(t *testing.T) {
	sigmoid := scored([][]byte{nodeOf("Sigmoid", []string{"z"}, []string{"y"})})
	label := scored([][]byte{nodeOf("ArgMax", []string{"z"}, []string{"label"}, wholeAttr("axis", 1))}, portOf("label", typeInt64, -1, 1))
	batch := scored([][]byte{nodeOf("ReduceMax", []string{"z"}, []string{"m"}, intsAttr("axes", 0)), nodeOf("Sub", []string{"z", "m"}, []string{"y"})})
	for _, c := range []struct {
		model file
		json  string
		batch int // largest; 0: several
	}{{sigmoid, `"kind": "logits"`, 0}, {sigmoid, `"output": "z", "kind": "logits"`, 0}, {label, `"output": "z"`, 0}, {batch, `"max_batch": 1`, 1}} {
		got, err := configure(t, c.model.bytes(), `{"model": "m.onnx", `+c.json+`}`, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", c.json, err)
			continue
		}
		if info, _ := got.Info(context.Background()); !info.BatchInvariant || (info.MaxBatch == 1) != (c.batch == 1) {
			t.Errorf("%s: invariant %v, batches of %d", c.json, info.BatchInvariant, info.MaxBatch)
		}
	}
}

// TestExportedBatch runs models whose reshapes name the batch they were
// exported with in any batch, where that keeps rows apart.
func TestExportedBatch(t *testing.T) {
	reshaped := func(batch int64, shape ...int64) file {
		f := scored([][]byte{nodeOf("Reshape", []string{"z", "s"}, []string{"r"}), nodeOf("Relu", []string{"r"}, []string{"p"}), nodeOf("Flatten", []string{"p"}, []string{"y"})})
		f.consts = append(f.consts, intsOf("s", shape, int64(len(shape))))
		f.in = [][]byte{portOf("x", typeFloat, batch, 3)}
		return f
	}
	merged := scored([][]byte{nodeOf("Transpose", []string{"x"}, []string{"t"}), nodeOf("Reshape", []string{"t", "s"}, []string{"y"})})
	merged.consts = append(merged.consts, intsOf("s", []int64{1, 3}, 2))
	bare := linear(tensorOf("w", linearWeights, 3, 2))
	bare.in, bare.out = [][]byte{portOf("x", typeFloat, 3)}, [][]byte{portOf("y", typeFloat, 2)}
	for _, c := range []struct {
		name  string
		model file
		most  int // rows per call; 0: many
	}{
		{"free", reshaped(-1, 1, 3, 1), 0},
		{"one row", reshaped(1, 1, 3, 1), 0},
		{"the rest is free", reshaped(1, 1, -1, 1), 0},
		{"four rows", reshaped(4, 4, 1, 3), 0},
		{"rows would mix", merged, 1},
		{"no batch", bare, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := configure(t, c.model.bytes(), justModel, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			info, _ := got.Info(context.Background())
			if !info.BatchInvariant || (info.MaxBatch == 1) != (c.most == 1) || c.most == 0 && info.MaxBatch < 5 {
				t.Errorf("invariant %v, batches of %d", info.BatchInvariant, info.MaxBatch)
			}
			x := tensor.New(7, 3)
			for i := range x.Data {
				x.Data[i] = float32(i*7%11) - 4
			}
			all, row := predicted(t, got, x), []float32(nil)
			for i := range 7 {
				row = append(row, predicted(t, got, x.Rows(i, i+1))...)
			}
			if fmt.Sprint(all) != fmt.Sprint(row) {
				t.Errorf("together %v, alone %v", all, row)
			}
		})
	}
}

// TestBatchGrid asks a model that chooses its grid by what a batch holds one
// row at a time.
func TestBatchGrid(t *testing.T) {
	f := linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{
		nodeOf("DynamicQuantizeLinear", []string{"x"}, []string{"q", "s", "z"}),
		nodeOf("DequantizeLinear", []string{"q", "s", "z"}, []string{"d"}),
		nodeOf("MatMul", []string{"d", "w"}, []string{"y"}),
	})
	c, err := configure(t, f.bytes(), justModel, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := c.Info(context.Background())
	if info.MaxBatch != 1 || !info.BatchInvariant || info.Gradient != sdk.EstimatedGradient {
		t.Errorf("batches of %d, invariant %v, gradient %v", info.MaxBatch, info.BatchInvariant, info.Gradient)
	}
}
