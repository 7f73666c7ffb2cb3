package onnx

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func castTo(elem int64) []byte { return varint(text(nil, 1, "to"), 3, elem) }

// intsOf is a TensorProto of int64.
func intsOf(name string, xs []int64, dims ...int64) []byte {
	b := header(name, typeInt64, dims...)
	for _, x := range xs {
		b = varint(b, 7, x)
	}
	return b
}

// byteOf is a TensorProto of one uint8.
func byteOf(name string, x byte) []byte { return message(header(name, typeUint8), 9, []byte{x}) }

// pixels is linear with an input of elem that is cast first.
func pixels(elem int64) file {
	f := linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{
		nodeOf("Reshape", []string{"x", "s"}, []string{"r"}),
		nodeOf("Cast", []string{"r"}, []string{"f"}, castTo(typeFloat)),
		nodeOf("MatMul", []string{"f", "w"}, []string{"y"}),
	})
	f.consts = append(f.consts, intsOf("s", []int64{-1, 3}, 2))
	f.in = [][]byte{portOf("x", elem, -1, 3)}
	return f
}

// embedded looks rows up in a table by an input of elem.
func embedded(elem int64) file {
	f := linear(tensorOf("w", []float32{1, 2, 3, 4, 5, 6, 7, 8}, 2, 4)).with([][]byte{
		nodeOf("Gather", []string{"w", "x"}, []string{"e"}),
		nodeOf("ReduceMean", []string{"e"}, []string{"m"}, varint(text(nil, 1, "axes"), 8, 1), varint(text(nil, 1, "keepdims"), 3, 0)),
		nodeOf("MatMul", []string{"m", "v"}, []string{"y"}),
	})
	f.consts = append(f.consts, tensorOf("v", []float32{1, 0, 0, 1, 1, 1, -1, 0}, 4, 2))
	f.in = [][]byte{portOf("x", elem, -1, 3)}
	return f
}

// onGrid reads integers as reals on a grid of 0.5 from 2 on.
func onGrid() file {
	f := linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{
		nodeOf("DequantizeLinear", []string{"x", "s", "z"}, []string{"f"}),
		nodeOf("MatMul", []string{"f", "w"}, []string{"y"}),
	})
	f.consts = append(f.consts, tensorOf("s", []float32{0.5}), byteOf("z", 2))
	f.in = [][]byte{portOf("x", typeUint8, -1, 3)}
	return f
}

// TestIntegerInputs settles how reals enter inputs of integers.
func TestIntegerInputs(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name     string
		model    file
		x, y     []float32
		dx       []float32 // of the first class
		gradient sdk.GradientKind
		legal    string
	}{
		{"cast: reals stay", pixels(typeUint8), []float32{10, 0.25, 3}, []float32{25.75, 39}, []float32{1, 3, 5}, sdk.ExactGradient, "[0] [255]"},
		{"cast of int64", pixels(typeInt64), []float32{1, 0, 2}, []float32{11, 14}, []float32{1, 3, 5}, sdk.ExactGradient, "[] []"},
		{"symbols are rounded", embedded(typeInt32), []float32{0.4, 0.6, 0.5}, []float32{4. / 3, 23. / 3}, nil, sdk.NoGradient, "[] []"},
		{"on a grid", onGrid(), []float32{4.2, 1.7, 300}, []float32{1 + 5*126.5, 2 + 6*126.5}, []float32{0.5, 1.5, 2.5}, sdk.EstimatedGradient, "[0] [255]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := configure(t, c.model.bytes(), justModel, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			info, _ := got.Info(ctx)
			if info.Gradient != c.gradient || info.Differentiate != (c.dx != nil) || fmt.Sprint(info.Lo, info.Hi) != c.legal || info.Validate() != nil {
				t.Errorf("gradient %v, differentiate %v, legal %v to %v: want %v and %s (%v)", info.Gradient, info.Differentiate, info.Lo, info.Hi, c.gradient, c.legal, info.Validate())
			}
			outs, pull, err := got.Forward(ctx, tensor.From(c.x, 1, 3))
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range outs[sdk.Output].Data {
				if math.Abs(float64(v-c.y[i])) > 1e-4 {
					t.Errorf("answers %v, want %v", outs[sdk.Output].Data, c.y)
				}
			}
			if c.dx == nil {
				if pull != nil {
					t.Error("a pullback without a gradient")
				}
				return
			}
			dx, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: tensor.From([]float32{1, 0}, 1, 2)})
			if err != nil || fmt.Sprint(dx.Data) != fmt.Sprint(c.dx) {
				t.Errorf("gradient %v, want %v (%v)", dx, c.dx, err)
			}
		})
	}
}

// TestGradientSetting says why there is no gradient to who asks for one.
func TestGradientSetting(t *testing.T) {
	_, err := configure(t, embedded(typeInt64).bytes(), `{"model": "m.onnx", "gradient": "required"}`, nil, nil)
	if err == nil || !strings.Contains(err.Error(), `operator Gather (node "Gather_0", opset 13) reads the integers of input "x" as such`) {
		t.Errorf("required of symbols: %v", err)
	}
	c, err := configure(t, onGrid().bytes(), `{"model": "m.onnx", "gradient": "none"}`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := c.Info(context.Background()); info.Gradient != sdk.NoGradient || info.Differentiate {
		t.Errorf("gradient %v in spite of none", info.Gradient)
	}
}

// TestColumns makes one input of several.
func TestColumns(t *testing.T) {
	f := linear(tensorOf("w", []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 6, 2)).with([][]byte{
		nodeOf("Cast", []string{"age"}, []string{"a"}, castTo(typeFloat)),
		nodeOf("Gather", []string{"e", "kind"}, []string{"k"}),
		nodeOf("Unsqueeze", []string{"flat", "one"}, []string{"f"}),
		nodeOf("Concat", []string{"a", "pair", "k", "f"}, []string{"x"}, wholeAttr("axis", 1)),
		nodeOf("MatMul", []string{"x", "w"}, []string{"y"}),
	})
	f.consts = append(f.consts, tensorOf("e", []float32{5, 6, 7, 8}, 2, 2), intsOf("one", []int64{1}, 1))
	f.in = [][]byte{portOf("age", typeInt64, -1, 1), portOf("pair", typeFloat, -1, 2), portOf("kind", typeInt64, -1), portOf("flat", typeFloat, -1), portOf("name", typeString, -1, 1)}
	c, err := configure(t, f.bytes(), `{"model": "m.onnx", "input": ["flat", "age", "kind", "pair"]}`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// flat 1, age 2.5, kind 0.8 → 1: (7, 8), pair (3, 4): x is 2.5, 3, 4, 7, 8, 1
	outs, pull, err := c.Forward(context.Background(), tensor.From([]float32{1, 2.5, 0.8, 3, 4}, 1, 5))
	if err != nil || fmt.Sprint(outs[sdk.Output].Data) != "[163.5 189]" {
		t.Fatalf("answers %v, want [163.5 189] (%v)", outs[sdk.Output], err)
	}
	dx, err := pull(context.Background(), map[string]*tensor.Tensor{sdk.Output: tensor.From([]float32{1, 0}, 1, 2)})
	if err != nil || fmt.Sprint(dx.Data) != "[11 1 0 3 5]" {
		t.Errorf("gradient %v, want [11 1 0 3 5] (%v)", dx, err)
	}
	for json, want := range map[string]string{
		`["flat", "height"]`: `"height" is no input of the model`, `["flat", "name"]`: `"name" is not of numbers`, `["flat", "age"]`: `give ["pair" "kind"] a value each`,
	} {
		if _, err := configure(t, f.bytes(), `{"model": "m.onnx", "input": `+json+`}`, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", json, err, want)
		}
	}
}

// several3 has inputs x, a mask of a row for each example, a number and a table.
func several3() file {
	f := linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{
		nodeOf("Cast", []string{"mask"}, []string{"m"}, castTo(typeFloat)),
		nodeOf("Concat", []string{"x", "m"}, []string{"j"}, varint(text(nil, 1, "axis"), 3, 1)),
		nodeOf("MatMul", []string{"j", "w"}, []string{"p"}),
		nodeOf("Mul", []string{"p", "scale"}, []string{"q"}),
		nodeOf("Add", []string{"q", "table"}, []string{"y"}),
	})
	f.consts = append(f.consts, tensorOf("table", []float32{1, 1}, 2))
	f.in = [][]byte{portOf("x", typeFloat, -1, 2), portOf("mask", typeInt64, -1, 1), portOf("scale", typeFloat), portOf("table", typeFloat, 2)}
	return f
}

// TestSeveralInputs gives all inputs but one their values.
func TestSeveralInputs(t *testing.T) {
	x := tensor.From([]float32{1, 2, 3, 4}, 2, 2)
	for _, c := range []struct {
		name, json string
		want       string // answers, or a part of the error
	}{
		{"numbers", `"input": "x", "inputs": {"mask": 1, "scale": 2}`, "[25 33 41 57]"},
		{"the rest is clear", `"inputs": {"mask": [0], "scale": 1}`, "[8 11 16 23]"},
		{"instead of a default", `"inputs": {"mask": false, "scale": 1, "table": [0, 5]}`, "[7 15 15 27]"},
		{"a shape", `"inputs": {"mask": 0, "scale": {"shape": [1, 2], "fill": [1, 0]}}`, "[8 1 16 1]"},
		{"none", `"layout": "auto"`, `the model has 3 inputs, ["x" "mask" "scale"]: rows enter one of them: name it with input: NAME`},
		{"too few", `"input": "x", "inputs": {"mask": 1}`, `rows enter "x"; give ["scale"] a value each`},
		{"no such", `"inputs": {"musk": 1}`, `no such input; it has ["x" "mask" "scale" "table"]`},
		{"no such guarded", `"input": "z"`, `no input "z"`},
		{"the guarded one", `"input": "x", "inputs": {"x": 1}`, "takes the rows of the data"},
		{"no whole number", `"inputs": {"mask": 0.5, "scale": 1}`, "want a whole number"},
		{"wrong count", `"inputs": {"mask": [1, 2], "scale": 1}`, "2 numbers for the shape [1]"},
		{"huge", `"inputs": {"mask": 1, "scale": {"shape": [100000, 100000], "fill": 0}}`, "more than 16777216 numbers"},
		{"text", `"inputs": {"mask": "a", "scale": 1}`, "/inputs/mask"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := configure(t, several3().bytes(), `{"model": "m.onnx", `+c.json+`}`, nil, nil)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if y := fmt.Sprint(predicted(t, got, x)); y != c.want {
				t.Errorf("answers %s, want %s", y, c.want)
			}
		})
	}
}
