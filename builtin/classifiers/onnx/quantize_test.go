package onnx

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// Straight-through gradients are compared with central differences on grids so
// fine, int16 of 1/4096, that a step is some hundred of their places.
const (
	straightStep      = 0.125
	straightTolerance = 0.01
	fine              = 1.0 / 4096
)

// chain is a float input x, quantised to q on the fine grid with the scale s
// and the zero point z, nodes, and a float output y.
type chain struct {
	op     string
	shape  []int
	nodes  []*node
	consts map[string]*value
}

func op(name, domain string, in, out []string, a attrs) *node {
	return &node{op: name, name: name, domain: domain, in: in, out: out, attrs: a, version: 21}
}

func ints(elem int64, shape []int, xs ...int64) *value {
	return &value{kind: integer, elem: elem, shape: shape, i: xs, constant: true}
}

func scalar(x float32) *value {
	return &value{kind: float, shape: []int{}, f: []float32{x}, constant: true}
}

// span are n integers of int8.
func span(shape ...int) *value {
	v := ints(typeInt8, shape)
	for i := range size(shape) {
		v.i = append(v.i, int64(i*37%101-50))
	}
	return v
}

func chains() []chain {
	quantize := op("QuantizeLinear", "", []string{"x", "s", "z"}, []string{"q"}, nil)
	back := op("DequantizeLinear", "", []string{"r", "t", "u"}, []string{"y"}, nil)
	ms := domainMicrosoft
	one := func(name string, a attrs) []*node {
		return []*node{quantize, op(name, ms, []string{"q", "s", "z", "t", "u"}, []string{"r"}, a), back}
	}
	pair := func(name string) []*node {
		return []*node{quantize, op("Neg", "", []string{"x"}, []string{"n"}, nil), op("QuantizeLinear", "", []string{"n", "t", "u"}, []string{"p"}, nil),
			op(name, ms, []string{"q", "s", "z", "p", "t", "u", "t", "u"}, []string{"r"}, nil), back}
	}
	image := []int{2, 3, 4, 4}
	return []chain{
		{"QuantizeLinear", []int{2, 6}, []*node{quantize, op("DequantizeLinear", "", []string{"q", "s", "z"}, []string{"y"}, nil)}, nil},
		{"DequantizeLinear", []int{2, 3}, []*node{quantize, op("Reshape", "", []string{"q", "shape"}, []string{"r"}, nil),
			op("DequantizeLinear", "", []string{"r", "per", "pz"}, []string{"y"}, attrs{"axis": whole(1)})},
			map[string]*value{"shape": integers(2, 3), "per": numbers(1, 0.5, 2), "pz": ints(typeInt16, []int{3}, 5, 6, 7)}},
		{"QLinearConv", image, []*node{quantize, op("QLinearConv", "", []string{"q", "s", "z", "w", "ws", "wz", "t", "u", "b"}, []string{"r"}, attrs{"pads": whole(1, 0, 1, 1)}), back},
			map[string]*value{"w": span(2, 3, 3, 3), "ws": numbers(0.01, 0.02), "wz": ints(typeInt8, []int{2}, 3, -4), "b": ints(typeInt32, []int{2}, 70, -9)}},
		{"ConvInteger", image, []*node{quantize, op("ConvInteger", "", []string{"q", "w", "z"}, []string{"c"}, attrs{"strides": whole(2, 1)}),
			op("Cast", "", []string{"c"}, []string{"f"}, attrs{"to": whole(typeFloat)}), op("Mul", "", []string{"f", "s"}, []string{"y"}, nil)},
			map[string]*value{"w": span(2, 3, 2, 2)}},
		{"QLinearMatMul", []int{3, 5}, []*node{quantize, op("QLinearMatMul", "", []string{"q", "s", "z", "w", "ws", "wz", "t", "u"}, []string{"r"}, nil), back},
			map[string]*value{"w": span(5, 4), "ws": numbers(0.01, 0.02, 0.015, 0.01), "wz": ints(typeInt8, []int{4}, 1, 2, 3, 4)}},
		{"MatMulInteger", []int{4, 4}, []*node{quantize, op("MatMulInteger", "", []string{"q", "q", "z", "z"}, []string{"c"}, nil),
			op("Cast", "", []string{"c"}, []string{"f"}, attrs{"to": whole(typeFloat)}), op("Mul", "", []string{"f", "s"}, []string{"y"}, nil)}, nil},
		{"DynamicQuantizeLinear", []int{2, 6}, []*node{op("DynamicQuantizeLinear", "", []string{"x"}, []string{"q8", "s8", "z8"}, nil),
			op("DequantizeLinear", "", []string{"q8", "s8", "z8"}, []string{"y"}, nil)}, nil},
		{"QLinearAdd", []int{2, 6}, pair("QLinearAdd"), nil},
		{"QLinearMul", []int{2, 6}, pair("QLinearMul"), nil},
		{"QLinearSigmoid", []int{2, 6}, one("QLinearSigmoid", nil), nil},
		{"QLinearLeakyRelu", []int{2, 6}, one("QLinearLeakyRelu", attrs{"alpha": real32(0.25)}), nil},
		{"QLinearSoftmax", []int{2, 6}, one("QLinearSoftmax", nil), nil},
		{"QLinearGlobalAveragePool", image, one("QLinearGlobalAveragePool", nil), nil},
		{"QLinearAveragePool", image, one("QLinearAveragePool", attrs{"kernel_shape": whole(2, 2)}), nil},
		{"QLinearConcat", []int{2, 6}, []*node{quantize, op("QLinearConcat", ms, []string{"t", "u", "q", "s", "z", "q", "s", "z"}, []string{"r"}, attrs{"axis": whole(1)}), back}, nil},
		{"QGemm", []int{3, 5}, []*node{quantize, op("QGemm", ms, []string{"q", "s", "z", "w", "ws", "wz", "b", "t", "u"}, []string{"r"}, attrs{"transB": whole(1), "alpha": real32(0.5)}), back},
			map[string]*value{"w": span(4, 5), "ws": scalar(0.02), "wz": ints(typeInt8, nil, 3), "b": ints(typeInt32, []int{4}, 70, -9, 0, 2)}},
		{"DynamicQuantizeMatMul", []int{3, 5}, []*node{op("DynamicQuantizeMatMul", ms, []string{"x", "w", "ws", "wz", "bias"}, []string{"y"}, nil)},
			map[string]*value{"w": span(5, 4), "ws": scalar(0.02), "wz": ints(typeInt8, nil, 3), "bias": numbers(1, 2, 3, 4)}},
		{"MatMulIntegerToFloat", []int{3, 5}, []*node{quantize, op("MatMulIntegerToFloat", ms, []string{"q", "w", "s", "ws", "z", "wz"}, []string{"y"}, nil)},
			map[string]*value{"w": span(5, 4), "ws": scalar(0.02), "wz": ints(typeInt8, nil, 3)}},
		{"Resize", image, []*node{quantize, op("Resize", "", []string{"q", "", "up"}, []string{"r"}, attrs{"mode": word("linear")}),
			op("DequantizeLinear", "", []string{"r", "s", "z"}, []string{"y"}, nil)}, map[string]*value{"up": numbers(1, 1, 2, 1)}},
		{"MaxPool", image, []*node{quantize, op("MaxPool", "", []string{"q"}, []string{"r"}, attrs{"kernel_shape": whole(2, 2), "strides": whole(2, 2)}),
			op("DequantizeLinear", "", []string{"r", "s", "z"}, []string{"y"}, nil)}, nil},
	}
}

// TestStraightThrough holds gradients through integers to central differences.
func TestStraightThrough(t *testing.T) {
	k, err := kernel.New(kernel.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	tested := map[string]bool{}
	for _, c := range chains() {
		tested[c.op] = true
		t.Run(c.op, func(t *testing.T) { c.check(t, k) })
	}
	for name := range straight {
		if !tested[name] {
			t.Errorf("no case for %s", name)
		}
	}
}

func (c chain) check(t *testing.T, k *kernel.Engine) {
	m := &model{consts: map[string]*value{"s": scalar(fine), "z": ints(typeInt16, nil, -100), "t": scalar(4 * fine), "u": ints(typeInt16, nil, 50)}}
	for name, v := range c.consts {
		m.consts[name] = v
	}
	m.nodes = c.nodes
	g, err := compile(m, "x", []string{"y"}, newRun(k, plenty))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 3))
	x := draw(r, &value{kind: float, shape: c.shape}, -2, 2, 0.4)
	var weights []float32
	answer := func(keep bool) (*run, *value) {
		e := newRun(k, plenty)
		e.keep = keep
		x.d, x.other, x.diff = nil, nil, true
		if err := e.forward(context.Background(), g, x); err != nil {
			t.Fatal(err)
		}
		return e, e.plain(e.values[g.slots["y"]])
	}
	e, y := answer(true)
	if !y.diff || !e.estimated {
		t.Fatalf("a gradient: %v, estimated: %v", y.diff, e.estimated)
	}
	for range y.f {
		weights = append(weights, r.Float32()*2-1)
	}
	got := slices.Clone(pulled(t, e, x, map[*value][]float32{y: weights}, []*value{y}))
	objective := func() float64 {
		_, y := answer(false)
		sum := 0.0
		for i, v := range y.f {
			sum += float64(weights[i]) * float64(v)
		}
		return sum
	}
	tolerance, step := straightTolerance, float32(straightStep)
	if slices.Contains([]string{"DynamicQuantizeLinear", "DynamicQuantizeMatMul"}, c.op) {
		tolerance, step = 0.06, 0.25 // uint8, on a grid that reaches as far as the numbers
	}
	if c.op == "QLinearSoftmax" { // bent, on a coarser grid
		tolerance, step = 0.03, 0.06
	}
	if c.op == "MaxPool" {
		step = 0.015 // less than numbers are apart
	}
	largest := 0.0
	for _, v := range got {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range x.f {
		at := x.f[i]
		if v := float64(at); c.op[:3] == "Dyn" && math.Abs(v) > 1.6 || math.Abs(v) < float64(step) && c.op == "QLinearLeakyRelu" {
			continue // the ends of the grid move, or the kink is in reach
		}
		x.f[i] = at + step
		up := objective()
		x.f[i] = at - step
		want := (up - objective()) / float64(2*step)
		x.f[i] = at
		if off := math.Abs(want - float64(got[i])); !(off <= tolerance*largest) {
			t.Errorf("gradient %d is %.4g, want %.4g", i, got[i], want)
		}
	}
}
