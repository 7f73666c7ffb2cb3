package onnx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/tape"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// configure writes a model to a fresh folder and loads it.
func configure(t *testing.T, model []byte, json string, data tensor.Shape, files map[string][]byte) (sdk.Forwarder, error) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "m.onnx"), model, 0o600); err != nil {
		t.Fatal(err)
	}
	c := New()
	err := c.(sdk.Configurable).Configure(context.Background(), sdk.Config{JSON: []byte(json), BaseDir: dir, InputShape: data})
	return c.(sdk.Forwarder), err
}

const justModel = `{"model": "m.onnx"}`

func predicted(t *testing.T, c sdk.Classifier, x *tensor.Tensor) []float32 {
	t.Helper()
	y, err := c.Predict(context.Background(), x)
	if err != nil {
		t.Fatal(err)
	}
	return y.Data
}

// TestLoadErrors holds what a user is told.
func TestLoadErrors(t *testing.T) {
	w := tensorOf("w", linearWeights, 3, 2)
	good := linear(w).bytes()
	op := func(op string, more ...[]byte) []byte {
		return linear(w).with([][]byte{nodeOf(op, []string{"x", "w"}, []string{"y"}, more...)}).bytes()
	}
	opset := linear(w)
	opset.opset = 99
	old := linear(w)
	old.opset = 6
	twice := linear(w)
	twice.nodes = append(twice.nodes, twice.nodes[0])
	two := linear(w).with([][]byte{nodeOf("Add", []string{"x", "z"}, []string{"s"}), nodeOf("MatMul", []string{"s", "w"}, []string{"y"})})
	two.in = append(two.in, portOf("z", typeFloat, -1, 3))
	text := linear(w)
	text.in = [][]byte{portOf("x", typeString, -1, 3)}
	for _, c := range []struct {
		name  string
		model []byte
		json  string
		want  string
	}{
		{"missing file", good, `{"model": "none.onnx"}`, "no such file"},
		{"no model", good, `{}`, "model"},
		{"unknown key", good, `{"model": "m.onnx", "modle": 1}`, "modle"},
		{"empty range", good, `{"model": "m.onnx", "input_range": [1, 0]}`, "is empty"},
		{"empty file", nil, justModel, "no graph"},
		{"text", []byte("<html>not found</html>"), justModel, "not an ONNX"},
		{"truncated", good[:len(good)-9], justModel, "damaged"},
		{"new opset", opset.bytes(), justModel, "opset 99: want one from 7 to 24"},
		{"old opset", old.bytes(), justModel, "opset 6: want one from 7 to 24"},
		{"unknown operator", op("Frobnicate"), justModel, `operator Frobnicate (node "Frobnicate_0", opset 13) is not supported`},
		{"wrong shapes", linear(tensorOf("w", linearWeights, 2, 3)).bytes(), justModel, "cannot multiply shapes [1 3] and [2 3]"},
		{"too few numbers", linear(tensorOf("w", linearWeights[:4], 3, 2)).bytes(), justModel, "16 bytes of data for shape [3 2], want 24"},
		{"huge shape", linear(header("w", typeFloat, 1<<40, 1<<40)).bytes(), justModel, "at most"},
		{"negative shape", linear(header("w", typeFloat, -5)).bytes(), justModel, "no negative"},
		{"string weights", linear(header("w", typeString, 3, 2)).bytes(), justModel, "type that is not supported"},
		{"computed twice", twice.bytes(), justModel, "computed twice"},
		{"nothing computes", linear(w).with([][]byte{nodeOf("MatMul", []string{"x", "v"}, []string{"y"})}).bytes(), justModel, `reads "v"`},
		{"loop", linear(w).with([][]byte{nodeOf("Add", []string{"x", "y"}, []string{"y"})}).bytes(), justModel, `reads "y"`},
		{"missing input", linear(w).with([][]byte{nodeOf("MatMul", []string{"x"}, []string{"y"})}).bytes(), justModel, "input 1 is missing"},
		{"two inputs", two.bytes(), justModel, "2 inputs"},
		{"string input", text.bytes(), justModel, "is of strings"},
		{"no such output", good, `{"model": "m.onnx", "output": "z"}`, `computes no "z"; its outputs are "y"`},
		{"no such hidden", good, `{"model": "m.onnx", "hidden": ["h"]}`, `computes no tensor "h"`},
		{"layout", good, `{"model": "m.onnx", "layout": "nchw"}`, "want 3"},
		{"path outside", linear(outsideOf("w", "../w.bin", "", 3, 2)).bytes(), justModel, "inside the model's folder"},
		{"absolute path", linear(outsideOf("w", "/etc/passwd", "", 3, 2)).bytes(), justModel, "inside the model's folder"},
		{"data missing", linear(outsideOf("w", "w.bin", "", 3, 2)).bytes(), justModel, "external data"},
		{"data too short", linear(outsideOf("w", "short.bin", "", 3, 2)).bytes(), justModel, "want a file with 24 bytes"},
		{"bad offset", linear(outsideOf("w", "short.bin", "-4", 3, 2)).bytes(), justModel, "want a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := configure(t, c.model, c.json, nil, map[string][]byte{"short.bin": make([]byte, 20)})
			var d sdk.Diagnostics
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &d) {
				t.Errorf("%v, want diagnostics with %q", err, c.want)
			}
		})
	}
	if _, err := configure(t, good, justModel, tensor.Shape{4}, nil); err == nil || !strings.Contains(err.Error(), "rows of shape 4") {
		t.Errorf("other data: %v", err)
	}
	c := New()
	if _, err := c.Predict(context.Background(), tensor.New(1, 3)); !errors.Is(err, sdk.FailedPrecondition) {
		t.Errorf("before Configure: %v", err)
	}
}

// TestOtherClasses: data of fewer classes than the model has says how to name
// the rest, data of more classes that it does not fit.
func TestOtherClasses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "m.onnx"), scored(nil, portOf("z", typeFloat, -1, 3)).bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for classes, want := range map[int]string{
		2: "the model has 3 classes, the data has 2: where not every class occurs in the data, data.classes names all of them",
		3: "<nil>",
		4: "the model has 3 classes, the data has 4",
	} {
		err := New().(sdk.Configurable).Configure(context.Background(), sdk.Config{JSON: []byte(justModel), BaseDir: dir, Classes: classes})
		if got := fmt.Sprint(err); !strings.Contains(got, want) || classes == 4 && strings.Contains(got, "data.classes") {
			t.Errorf("%d classes: %s, want %q", classes, got, want)
		}
	}
}

func TestExternalData(t *testing.T) {
	raw := make([]byte, 8)
	for _, v := range linearWeights {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	c, err := configure(t, linear(outsideOf("w", "w.bin", "8", 3, 2)).bytes(), justModel, nil, map[string][]byte{"w.bin": raw})
	if err != nil {
		t.Fatal(err)
	}
	if y := predicted(t, c, tensor.From([]float32{1, 1, 0}, 1, 3)); y[0] != 4 || y[1] != 6 {
		t.Errorf("answers %v, want 4 and 6", y)
	}
	first, _ := c.Info(context.Background())
	raw[8]++
	c, err = configure(t, linear(outsideOf("w", "w.bin", "8", 3, 2)).bytes(), justModel, nil, map[string][]byte{"w.bin": raw})
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := c.Info(context.Background()); first.Digest == second.Digest {
		t.Error("other external data, the same digest")
	}
}

// TestHidden pulls the cotangents of a hidden layer and of the output back.
func TestHidden(t *testing.T) {
	ctx := context.Background()
	m := linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{
		nodeOf("Tanh", []string{"x"}, []string{"h"}),
		nodeOf("MatMul", []string{"h", "w"}, []string{"z"}),
		nodeOf("Softmax", []string{"z"}, []string{"y"}),
	})
	c, err := configure(t, m.bytes(), `{"model": "m.onnx", "hidden": ["h", "y"]}`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.From([]float32{0.1, 0.2, 0.3, -0.4, 0, 1}, 2, 3)
	pull := func(names ...string) *tensor.Tensor {
		outs, back, err := c.Forward(ctx, x, names...)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 * tape.Spare { // until the tape is gone
			if _, _, err := c.Forward(ctx, x); err != nil {
				t.Fatal(err)
			}
		}
		cots := map[string]*tensor.Tensor{}
		for _, name := range names {
			cots[name] = outs[name].Clone()
		}
		dx, err := back(ctx, cots)
		if err != nil {
			t.Fatal(err)
		}
		return dx
	}
	a, h, both := pull("output"), pull("hidden/h"), pull("output", "hidden/h")
	for i, v := range both.Data {
		if d := v - a.Data[i] - h.Data[i]; d > 1e-5 || d < -1e-5 {
			t.Errorf("gradient %d of both is %v, want %v + %v", i, v, a.Data[i], h.Data[i])
		}
	}
	outs, _, err := c.Forward(ctx, x, "hidden/y", "output")
	if err != nil {
		t.Fatal(err)
	}
	if p := outs["hidden/y"].Row(0); math.Abs(float64(p[0]+p[1])-1) > 1e-6 || outs["output"].Row(0)[0] == p[0] {
		t.Errorf("probabilities %v beside logits %v", p, outs["output"].Row(0))
	}
	if _, _, err := c.Forward(ctx, x, "hidden/z"); !errors.Is(err, sdk.InvalidArgument) {
		t.Errorf("a layer that was not asked for: %v", err)
	}
}

// TestLayouts settles how images meet models.
func TestLayouts(t *testing.T) {
	axis := func(name string, v ...int64) []byte {
		b := text(nil, 1, name)
		for _, x := range v {
			b = varint(b, 8, x)
		}
		return b
	}
	mean := func(dims ...int64) []byte { // the mean over what follows the first dimension but the classes
		return linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{
			nodeOf("ReduceMean", []string{"x"}, []string{"m"}, axis("axes", 2, 3), varint(text(nil, 1, "keepdims"), 3, 0)),
			nodeOf("MatMul", []string{"m", "w"}, []string{"y"}),
		}, dims...).bytes()
	}
	flat := linear(tensorOf("w", linearWeights, 3, 2)).bytes()
	for _, c := range []struct {
		name  string
		model []byte
		json  string
		data  tensor.Shape
		want  string
	}{
		{"channels first by the data", mean(-1, 3, 4, 5), justModel, tensor.Shape{4, 5, 3}, "3×4×5 nchw"},
		{"channels first by the file", mean(-1, 3, 4, 5), justModel, nil, "3×4×5 nchw"},
		{"free sizes", mean(-1, -1, -1, -1), `{"model": "m.onnx", "layout": "nchw"}`, tensor.Shape{4, 5, 3}, "3×4×5 nchw"},
		{"a shape of its own", mean(-1, 3, 4, 5), `{"model": "m.onnx", "layout": "nhwc"}`, tensor.Shape{3, 4, 5}, "3×4×5 nhwc"},
		{"image for a flat model", flat, justModel, tensor.Shape{1, 3, 1}, "1×3×1 nhwc"},
		{"flat", flat, justModel, nil, "3 flat"},
		{"one exported row", linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{nodeOf("MatMul", []string{"x", "w"}, []string{"y"})}, 1, 3).bytes(), justModel, nil, "3 flat"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := configure(t, c.model, c.json, c.data, nil)
			if err != nil {
				t.Fatal(err)
			}
			info, err := got.Info(context.Background())
			if err != nil || fmt.Sprint(info.InputShape, " ", info.Layout) != c.want {
				t.Errorf("%v %v, want %s (%v)", info.InputShape, info.Layout, c.want, err)
			}
		})
	}
}

// FuzzLoad feeds damaged files, and runs what loads there and back, all within
// little memory and work: errors are fine, panics are not.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"mlp", "binary", "split", "sklearn/logistic", "sklearn/tree",
		"pipelines/svc_radial", "pipelines/rest", "pipelines/bins", "quantized/mlp_dynamic", "quantized/residual", "opsets/07"} {
		b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)+".onnx"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(linear(tensorOf("w", linearWeights, 3, 2)).bytes())
	f.Add(linear(outsideOf("w", "w.bin", "8", 3, 2)).bytes())
	for _, c := range hostileFiles() {
		if len(c.model) < 1<<10 {
			f.Add(c.model)
		}
	}
	little := settings{Kind: "auto", Layout: "auto", Memory: "16MiB", Work: 1e7}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		m, err := parse(b, "", little)
		if err != nil {
			return
		}
		p, h, err := build(m, sdk.Config{}, little)
		if err != nil {
			return
		}
		defer p.pool.Close()
		y, err := p.try(t.Context(), 0, 1, nil)
		if err != nil || h.judge(p, y) != nil {
			return
		}
		p.settle(0, y.f)
		x := tensor.Batch(min(2, p.step), p.entry.wire)
		pass := p.pool.Next()
		outs, err := p.forward(t.Context(), x, []string{sdk.Output}, pass)
		if err != nil {
			return
		}
		_, _ = p.pullback(x, pass, outs)(t.Context(), outs) // refused or not
		s, err := p.pool.Find(pass)
		if err != nil {
			t.Fatal(err)
		}
		defer p.pool.Give(s)
		if s.peak > s.memory {
			t.Errorf("took %d bytes of %d", s.peak, s.memory)
		}
	})
}
