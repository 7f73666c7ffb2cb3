package onnx

import (
	"maps"
	"math"
)

// Domains of operators.
const (
	domainML        = "ai.onnx.ml"
	domainMicrosoft = "com.microsoft"
)

// operators are all that there are, by domain and name.
type operators map[string]map[string]operator

func newOperators() operators {
	return operators{"": standard(), domainML: machineLearning(), domainMicrosoft: microsoft()}
}

// of is the implementation of a node's operator, or nil.
func (t operators) of(n *node) operator { return t[n.domain][n.op] }

// standard are the operators of the default domain.
func standard() map[string]operator {
	t := map[string]operator{
		"Conv": conv, "ConvTranspose": convTranspose, "Gemm": gemmOf, "MatMul": matMul,
		"MaxPool": maxPool, "AveragePool": averagePool, "GlobalAveragePool": globalAveragePool, "GlobalMaxPool": globalMaxPool,
		"BatchNormalization": batchNormalization, "LayerNormalization": layerNormalization,
		"InstanceNormalization": instanceNormalization, "GroupNormalization": groupNormalization, "LRN": lrn,
		"LpNormalization": lpNormalization, "RMSNormalization": rmsNormalization, "Einsum": einsum, "Attention": attention,
		"Softmax":    alongAxis(func(c *call, v *value, width int) *value { return c.softmax(v, width) }),
		"LogSoftmax": alongAxis(func(c *call, v *value, width int) *value { return c.logSoftmax(v, width) }),
		"Hardmax":    alongAxis(hardmax),
		"Clip":       clip, "PRelu": arithmetic(prelu()),
		"Add": arithmetic(add()), "Sub": arithmetic(sub()), "Mul": arithmetic(mul()), "Div": arithmetic(div()), "Pow": pow, "Mod": mod,
		"Min": several(smaller(), false), "Max": several(larger(), false), "Sum": several(add(), false), "Mean": several(add(), true),
		"Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Expand": expand, "Transpose": transpose,
		"Concat": concat, "Split": split, "Slice": slice, "Gather": gatherOp, "GatherElements": gatherElements, "Tile": tile, "Pad": pad,
		"DepthToSpace": depthToSpace, "SpaceToDepth": spaceToDepth, "Resize": resize, "Upsample": resize,
		"Shape": shapeOf, "Size": sizeOf, "Constant": constant, "ConstantOfShape": constantOfShape, "Range": rangeOf,
		"Cast": cast, "CastLike": castLike, "Identity": identity, "Dropout": identity, "Where": where, "Not": not,
		"Equal":          compare(func(a, b float32) bool { return a == b }, func(a, b int64) bool { return a == b }),
		"Greater":        compare(func(a, b float32) bool { return a > b }, func(a, b int64) bool { return a > b }),
		"GreaterOrEqual": compare(func(a, b float32) bool { return a >= b }, func(a, b int64) bool { return a >= b }),
		"Less":           compare(func(a, b float32) bool { return a < b }, func(a, b int64) bool { return a < b }),
		"LessOrEqual":    compare(func(a, b float32) bool { return a <= b }, func(a, b int64) bool { return a <= b }),
		"And":            logic(func(a, b bool) bool { return a && b }),
		"Or":             logic(func(a, b bool) bool { return a || b }),
		"Xor":            logic(func(a, b bool) bool { return a != b }),
		"IsNaN":          test(func(_ *node, x float32) bool { return x != x }),
		"IsInf": test(func(n *node, x float32) bool {
			return math.IsInf(float64(x), 1) && n.int("detect_positive", 1) != 0 || math.IsInf(float64(x), -1) && n.int("detect_negative", 1) != 0
		}),
		"ArgMax": argBest(func(a, b float32) bool { return a > b }), "ArgMin": argBest(func(a, b float32) bool { return a < b }),
	}
	maps.Copy(t, unaries())
	maps.Copy(t, quantizedOperators())
	for name, p := range reductions() {
		t[name] = reduce(p)
	}
	return t
}
