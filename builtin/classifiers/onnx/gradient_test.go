package onnx

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// step of the central differences, and what they may be off by, relative to
// the largest derivative. Inputs are further apart than two steps, so that no
// maximum changes, and no input is within a step of a kink.
const (
	differenceStep      = 4e-3
	differenceTolerance = 4e-3
)

func whole(xs ...int64) attr       { return attr{ints: xs, i: xs[0]} }
func real32(x float32) attr        { return attr{f: x} }
func word(s string) attr           { return attr{s: s} }
func reals(xs ...float32) attr     { return attr{floats: xs} }
func shape(dims ...int) *value     { return &value{kind: float, shape: dims} }
func numbers(xs ...float32) *value { return &value{kind: float, shape: []int{len(xs)}, f: xs} }

type attrs = map[string]attr

// gradientCase is an operator with inputs; those without numbers are drawn,
// in [lo, hi], and differentiated in turn, unless hold says that they are
// weights.
type gradientCase struct {
	name, op string
	in       []*value
	attrs    attrs
	lo, hi   float32 // 0, 0: −1.5 to 1.5
	hold     int     // inputs from here on are constants; 0: from the second on if they have numbers
	version  int64   // 0: 17
	domain   string
}

func gradientCases() []gradientCase {
	image := shape(2, 4, 5, 6)
	one := []*value{shape(2, 3, 4)}
	two := func(a, b *value) []*value { return []*value{a, b} }
	cases := []gradientCase{
		{op: "Conv", name: "plain", in: []*value{image, shape(3, 4, 3, 2), shape(3)}, hold: 1, attrs: attrs{"pads": whole(1, 0, 0, 1), "strides": whole(2, 1)}},
		{op: "Conv", name: "grouped", in: two(image, shape(6, 2, 3, 3)), hold: 1, attrs: attrs{"group": whole(2)}},
		{op: "Conv", name: "depthwise", in: two(image, shape(8, 1, 3, 3)), hold: 1, attrs: attrs{"group": whole(4), "auto_pad": word("SAME_UPPER")}},
		{op: "Conv", name: "dilated", in: two(image, shape(2, 4, 2, 2)), hold: 1, attrs: attrs{"dilations": whole(2, 3)}},
		{op: "Conv", name: "pointwise", in: two(image, shape(5, 4, 1, 1)), hold: 1},
		{op: "Conv", name: "line", in: two(shape(2, 3, 9), shape(4, 3, 3)), hold: 1, attrs: attrs{"strides": whole(2)}},
		{op: "Conv", name: "volume", in: two(shape(1, 2, 4, 3, 4), shape(2, 1, 2, 2, 3)), hold: 1, attrs: attrs{"group": whole(2), "pads": whole(1, 0, 1, 0, 1, 0), "strides": whole(2, 1, 1), "dilations": whole(2, 1, 1)}},
		{op: "ConvTranspose", name: "plain", in: []*value{shape(2, 3, 4, 3), shape(3, 2, 3, 3), shape(2)}, hold: 1, attrs: attrs{"strides": whole(2, 2), "pads": whole(1, 1, 0, 1), "output_padding": whole(1, 0)}},
		{op: "ConvTranspose", name: "grouped", in: two(shape(1, 4, 3, 3), shape(4, 2, 2, 2)), hold: 1, attrs: attrs{"group": whole(2), "dilations": whole(2, 1)}},
		{op: "ConvTranspose", name: "depthwise", in: two(shape(1, 4, 3, 3), shape(4, 1, 3, 3)), hold: 1, attrs: attrs{"group": whole(4)}},
		{op: "ConvTranspose", name: "volume", in: two(shape(1, 2, 2, 3, 3), shape(2, 2, 2, 3, 2)), hold: 1, attrs: attrs{"strides": whole(2, 1, 2)}},
		{op: "Gemm", name: "plain", in: []*value{shape(3, 4), shape(4, 5), shape(3, 1)}, attrs: attrs{"alpha": real32(0.5), "beta": real32(2)}},
		{op: "Gemm", name: "transposed", in: []*value{shape(4, 3), shape(5, 4), shape(5)}, attrs: attrs{"transA": whole(1), "transB": whole(1)}},
		{op: "Gemm", name: "bias", in: []*value{shape(3, 4), shape(4, 5), numbers(1, 2, 3, 4, 5)}},
		{op: "MatMul", name: "one matrix", in: two(shape(2, 3, 4), shape(4, 5))},
		{op: "MatMul", name: "broadcast", in: two(shape(2, 1, 3, 4), shape(3, 4, 2))},
		{op: "MatMul", name: "vectors", in: two(shape(4), shape(2, 4, 3))},
		{op: "MaxPool", name: "plain", in: []*value{image}, attrs: attrs{"kernel_shape": whole(2, 3), "strides": whole(2, 1), "pads": whole(1, 1, 0, 1), "ceil_mode": whole(1)}},
		{op: "MaxPool", name: "dilated", in: []*value{image}, attrs: attrs{"kernel_shape": whole(2, 2), "dilations": whole(2, 1)}},
		{op: "MaxPool", name: "volume", in: []*value{shape(1, 2, 3, 3, 3)}, attrs: attrs{"kernel_shape": whole(2, 2, 2)}},
		{op: "AveragePool", name: "inside", in: []*value{image}, attrs: attrs{"kernel_shape": whole(3, 3), "pads": whole(1, 1, 1, 1)}},
		{op: "AveragePool", name: "padded", in: []*value{image}, attrs: attrs{"kernel_shape": whole(3, 3), "pads": whole(1, 1, 1, 1), "count_include_pad": whole(1)}},
		{op: "AveragePool", name: "volume", in: []*value{shape(1, 2, 3, 3, 3)}, attrs: attrs{"kernel_shape": whole(2, 2, 2)}},
		{op: "GlobalAveragePool", in: []*value{image}}, {op: "GlobalMaxPool", in: []*value{image}},
		{op: "BatchNormalization", in: []*value{image, shape(4), shape(4), shape(4), shape(4)}, hold: 1, lo: 0.2, hi: 2},
		{op: "LayerNormalization", in: []*value{shape(2, 3, 4), shape(4), shape(4)}},
		{op: "InstanceNormalization", in: []*value{image, shape(4), shape(4)}},
		{op: "GroupNormalization", in: []*value{image, shape(4), shape(4)}, attrs: attrs{"num_groups": whole(2)}, version: 21},
		{op: "LRN", in: []*value{image}, attrs: attrs{"size": whole(3), "alpha": real32(0.8)}},
		{op: "Softmax", in: one}, {op: "Softmax", name: "axis", in: one, attrs: attrs{"axis": whole(1)}}, {op: "Softmax", name: "old", in: one, version: 11},
		{op: "LogSoftmax", in: one}, {op: "LogSoftmax", name: "axis", in: one, attrs: attrs{"axis": whole(0)}},
		{op: "Add", in: two(shape(2, 3, 4), shape(3, 1))}, {op: "Sub", in: two(shape(4), shape(2, 3, 4))},
		{op: "Mul", in: two(shape(2, 1, 4), shape(3, 1))}, {op: "Div", in: two(shape(2, 3, 4), shape(1, 4)), lo: 0.5, hi: 2},
		{op: "Mul", name: "scalar", in: two(shape(2, 3, 4), shape())}, {op: "Add", name: "of itself", in: two(one[0], one[0])},
		{op: "Pow", in: two(shape(3, 4), shape(4)), lo: 0.5, hi: 2}, {op: "Pow", name: "square", in: two(shape(3, 4), numbers(2))},
		{op: "PRelu", in: two(image, shape(4, 1, 1))}, {op: "Mod", in: two(shape(3, 4), numbers(0.7)), attrs: attrs{"fmod": whole(1)}},
		{op: "Min", in: []*value{shape(4, 3), shape(3), shape(4, 1)}}, {op: "Max", in: []*value{shape(4, 3), shape(4, 3)}},
		{op: "Sum", in: []*value{shape(4, 3), shape(3), shape(1)}}, {op: "Mean", in: []*value{shape(4, 3), shape(3), shape(1)}},
		{op: "Clip", in: []*value{shape(20), {kind: float, shape: []int{}, f: []float32{-0.5}}, {kind: float, shape: []int{}, f: []float32{0.71}}}},
		{op: "Clip", name: "old", in: one, attrs: attrs{"min": real32(-0.5), "max": real32(0.71)}, version: 6},
		{op: "Reshape", in: two(image, integers(0, -1, 10))}, {op: "Flatten", in: []*value{image}, attrs: attrs{"axis": whole(2)}},
		{op: "Squeeze", in: two(shape(2, 1, 3), integers(1))}, {op: "Unsqueeze", in: two(shape(2, 3), integers(0, -1))},
		{op: "Expand", in: two(shape(2, 1, 3), integers(2, 2, 4, 1))}, {op: "Transpose", in: one, attrs: attrs{"perm": whole(2, 0, 1)}},
		{op: "Concat", in: []*value{shape(2, 3), shape(2, 1), shape(2, 2)}, attrs: attrs{"axis": whole(1)}},
		{op: "Split", in: two(shape(2, 5), integers(2, 3)), attrs: attrs{"axis": whole(1)}},
		{op: "Slice", in: []*value{shape(5, 6), integers(4, -5), integers(0, 100), integers(0, 1), integers(-2, 2)}},
		{op: "Gather", in: two(shape(3, 4), &value{kind: integer, shape: []int{2, 2}, i: []int64{0, -1, 2, 0}}), attrs: attrs{"axis": whole(1)}},
		{op: "GatherElements", in: two(shape(3, 4), &value{kind: integer, shape: []int{3, 2}, i: []int64{0, -1, 2, 0, 1, 1}}), attrs: attrs{"axis": whole(1)}},
		{op: "Tile", in: two(shape(2, 3), integers(2, 3))}, {op: "Pad", in: []*value{shape(3, 4), integers(1, 0, 0, 2), numbers(0.5)}},
		{op: "Pad", name: "reflect", in: two(shape(3, 4), integers(2, 1, 0, 3)), attrs: attrs{"mode": word("reflect")}},
		{op: "Pad", name: "edge", in: two(shape(3, 4), integers(2, -1, 0, 3)), attrs: attrs{"mode": word("edge")}},
		{op: "DepthToSpace", in: []*value{shape(1, 8, 2, 3)}, attrs: attrs{"blocksize": whole(2), "mode": word("CRD")}},
		{op: "SpaceToDepth", in: []*value{shape(1, 2, 4, 6)}, attrs: attrs{"blocksize": whole(2)}},
		{op: "Resize", name: "nearest", in: []*value{shape(1, 2, 3, 4), nil, numbers(1, 1, 2, 1.5)}},
		{op: "Resize", name: "linear", in: []*value{shape(1, 2, 3, 4), nil, nil, integers(1, 2, 5, 3)}, attrs: attrs{"mode": word("linear"), "coordinate_transformation_mode": word("align_corners")}},
		{op: "Resize", name: "cubic", in: []*value{shape(1, 2, 3, 4), nil, nil, integers(1, 2, 5, 3)}, attrs: attrs{"mode": word("cubic")}},
		{op: "Upsample", in: two(shape(1, 2, 2, 2), numbers(1, 1, 2, 3))},
		{op: "Where", in: []*value{{kind: boolean, shape: []int{3, 1}, i: []int64{1, 0, 1}}, shape(3, 4), shape(4)}},
		{op: "Dropout", in: one}, {op: "Identity", in: one}, {op: "Cast", in: one, attrs: attrs{"to": whole(typeDouble)}}, {op: "CastLike", in: two(shape(3), numbers(1))},
		{op: "LeakyRelu", name: "negative", in: one, attrs: attrs{"alpha": real32(-0.3)}}, {op: "Elu", name: "negative", in: one, attrs: attrs{"alpha": real32(-0.3)}},
		{op: "Gelu", name: "tanh", in: one, attrs: attrs{"approximate": word("tanh")}},
		{op: "ThresholdedRelu", name: "alpha", in: one, attrs: attrs{"alpha": real32(0.33)}}, {op: "Shrink", name: "bias", in: one, attrs: attrs{"lambd": real32(0.32), "bias": real32(0.1)}},
		{op: "LinearClassifier", domain: domainML, in: []*value{shape(3, 2)}, attrs: attrs{"coefficients": reals(1, -2, 0.5, 1, 1, 2), "intercepts": reals(0, 0.5, -1), "classlabels_ints": whole(0, 1, 2), "post_transform": word("SOFTMAX")}},
		{op: "LinearClassifier", name: "two classes", domain: domainML, in: []*value{shape(3, 2)}, attrs: attrs{"coefficients": reals(1, -2), "intercepts": reals(0.5), "classlabels_ints": whole(0, 1), "post_transform": word("LOG_LOGISTIC")}},
		{op: "LinearRegressor", domain: domainML, in: []*value{shape(3, 2)}, attrs: attrs{"coefficients": reals(1, -2), "post_transform": word("LOGISTIC")}},
		{op: "Scaler", domain: domainML, in: []*value{shape(3, 2)}, attrs: attrs{"offset": reals(1, -2), "scale": reals(3)}},
		{op: "Normalizer", name: "max", domain: domainML, in: []*value{shape(3, 4)}, lo: 0.3, hi: 2},
		{op: "Normalizer", name: "L1", domain: domainML, in: []*value{shape(3, 4)}, attrs: attrs{"norm": word("L1")}},
		{op: "Normalizer", name: "L2", domain: domainML, in: []*value{shape(3, 4)}, attrs: attrs{"norm": word("L2")}},
	}
	narrow := map[string][2]float32{"Log": {0.3, 2}, "Sqrt": {0.3, 2}, "Reciprocal": {0.4, 2}, "Asin": {-0.8, 0.8}, "Acos": {-0.8, 0.8}, "Atanh": {-0.8, 0.8}, "Acosh": {1.3, 3}, "Tan": {-1, 1}, "HardSwish": {-4, 4}, "HardSigmoid": {-4, 4}}
	for _, op := range slices.Sorted(keysOf(unaries())) {
		cases = append(cases, gradientCase{op: op, in: []*value{shape(2, 13)}, lo: narrow[op][0], hi: narrow[op][1]})
	}
	for _, op := range slices.Sorted(keysOf(reductions())) {
		lo := float32(0.4) // where all of them are smooth
		cases = append(cases,
			gradientCase{op: op, name: "middle", in: one, lo: lo, hi: 2, attrs: attrs{"axes": whole(1), "keepdims": whole(0)}, version: 12},
			gradientCase{op: op, name: "all", in: one, lo: lo, hi: 1.5},
			gradientCase{op: op, name: "image", in: []*value{image, integers(2, 3)}, lo: lo, hi: 2})
	}
	return append(cases, moreCases()...)
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// flat are operators without a gradient: of integers, comparisons, choices.
var flat = []string{"Shape", "Size", "Constant", "ConstantOfShape", "Range", "Not", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
	"And", "Or", "Xor", "IsNaN", "IsInf", "ArgMax", "ArgMin", "Hardmax", "TreeEnsembleClassifier", "Binarizer", "OneHotEncoder", "LabelEncoder"}

func TestGradients(t *testing.T) {
	k, err := kernel.New(kernel.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	tested := map[string]bool{}
	for _, c := range gradientCases() {
		tested[c.op] = true
		t.Run(c.op+" "+c.name, func(t *testing.T) { c.check(t, k) })
	}
	for _, table := range []map[string]operator{standard(), machineLearning()} {
		for op := range table {
			if !tested[op] && !slices.Contains(flat, op) && !straight[op] {
				t.Errorf("no case for %s", op)
			}
		}
	}
}

// draw gives a value numbers that are all different, well apart and not at 0.
func draw(r *rand.Rand, v *value, lo, hi, at float32) *value {
	if v == nil || v.kind != float || v.f != nil {
		return v
	}
	if lo == hi {
		lo, hi = -1.5, 1.5
	}
	n := size(v.shape)
	f := make([]float32, n)
	for i, p := range r.Perm(n) {
		f[i] = lo + (hi-lo)*(float32(p)+at)/float32(n)
	}
	return &value{kind: float, shape: v.shape, f: f}
}

func (c gradientCase) check(t *testing.T, k *kernel.Engine) {
	r := rand.New(rand.NewPCG(5, uint64(len(c.op))))
	n := &node{op: c.op, name: c.name, domain: c.domain, attrs: c.attrs, version: c.version, out: []string{"y"}}
	if c.version == 0 {
		n.version = 17
	}
	if n.do = newOperators().of(n); n.do == nil {
		t.Fatal("no such operator")
	}
	if c.op == "Split" {
		n.out = append(n.out, "z")
	}
	ins := make([]*value, len(c.in))
	drawn := map[*value]*value{}
	for i, v := range c.in {
		if drawn[v] == nil {
			drawn[v] = draw(r, v, c.lo, c.hi, 0.37+0.2*float32(i%3))
		}
		ins[i] = drawn[v]
	}
	for i, v := range ins {
		if v == nil || v.kind != float || c.in[i].f != nil || c.hold > 0 && i >= c.hold {
			continue
		}
		v.diff = true
		c.differences(t, k, n, ins, v)
		v.diff = false
	}
}

// differences compares the gradient at v with central differences.
func (c gradientCase) differences(t *testing.T, k *kernel.Engine, n *node, ins []*value, v *value) {
	t.Helper()
	w := rand.New(rand.NewPCG(7, 7))
	var weights []float32
	objective := func() float64 {
		run := newRun(k, plenty)
		total, at := 0.0, 0
		for _, y := range c.outputs(t, run, n, ins) {
			for _, x := range y.f {
				if at == len(weights) {
					weights = append(weights, w.Float32()*2-1)
				}
				total += float64(weights[at]) * float64(x)
				at++
			}
		}
		return total
	}
	objective()
	tape := newRun(k, plenty)
	tape.keep = true
	v.d = nil
	seeds, at := map[*value][]float32{}, 0
	outs := c.outputs(t, tape, n, ins)
	for _, y := range outs {
		seeds[y] = weights[at : at+len(y.f)]
		at += len(y.f)
	}
	got := slices.Clone(pulled(t, tape, v, seeds, outs))
	if got == nil {
		got = make([]float32, len(v.f))
	}
	largest, off, where := 1e-3, 0.0, 0
	for i := range v.f {
		x := v.f[i]
		v.f[i] = x + differenceStep
		up := objective()
		v.f[i] = x - differenceStep
		want := (up - objective()) / (2 * differenceStep)
		v.f[i] = x
		largest = max(largest, math.Abs(want))
		if d := math.Abs(want - float64(got[i])); !(d <= off) {
			off, where = d, i
		}
	}
	if !(off <= differenceTolerance*largest) {
		t.Errorf("gradient %d of %v is off by %.3g; the largest is %.3g", where, v.shape, off, largest)
	}
}

// outputs are the operator's float outputs, stored plainly.
func (c gradientCase) outputs(t *testing.T, r *run, n *node, ins []*value) []*value {
	t.Helper()
	for _, v := range ins {
		if v != nil {
			v.other = nil
		}
	}
	in := slices.Clone(ins)
	if len(in) > 0 && len(in[0].shape) >= 3 && in[0].kind == float && c.name != "old" {
		in[0] = r.channelsLast(in[0]) // as it comes from a convolution
	}
	outs, err := r.step(n, in)
	if err != nil {
		t.Fatal(err)
	}
	var ys []*value
	for _, y := range outs {
		if y != nil && y.kind == float {
			ys = append(ys, r.plain(y))
		}
	}
	return ys
}

// pulled is the gradient at x; nil is zero.
func pulled(t *testing.T, r *run, x *value, seeds map[*value][]float32, order []*value) []float32 {
	t.Helper()
	d, err := r.backward(x, seeds, order)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
