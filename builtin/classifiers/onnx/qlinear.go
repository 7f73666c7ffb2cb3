package onnx

import "slices"

// quantizedOperators are those of the default domain that compute with
// integers that stand for reals.
func quantizedOperators() map[string]operator {
	return map[string]operator{
		"QuantizeLinear": quantizeLinear, "DequantizeLinear": dequantizeLinear, "DynamicQuantizeLinear": dynamicQuantizeLinear,
		"QLinearConv": qLinearConv, "QLinearMatMul": qLinearMatMul, "ConvInteger": convInteger, "MatMulInteger": matMulInteger,
	}
}

// microsoft are the operators of com.microsoft, as the quantiser and the
// optimiser of ONNX Runtime write them.
func microsoft() map[string]operator {
	return map[string]operator{
		"Gelu": gelu, "QuantizeLinear": quantizeLinear, "DequantizeLinear": dequantizeLinear,
		"QLinearAdd": qLinearAdd, "QLinearMul": qLinearMul, "QGemm": qGemm, "QLinearConcat": qLinearConcat,
		"QLinearSigmoid":           onReals(func(c *call) []*value { return unaries()["Sigmoid"](c) }),
		"QLinearLeakyRelu":         onReals(leakyRelu),
		"QLinearSoftmax":           onReals(qSoftmax),
		"QLinearAveragePool":       onReals(averagePool),
		"QLinearGlobalAveragePool": qGlobalAveragePool,
		"DynamicQuantizeMatMul":    dynamicQuantizeMatMul, "MatMulIntegerToFloat": matMulIntegerToFloat,
	}
}

// prepackedSums is a convolution of whole weights, and how far its sums reach.
type prepackedSums struct {
	*convolution
	reach float64
}

// convSums is the convolution of inputs x and w, whose zero points are inputs
// too, as int32.
func (c *call) convSums(x, xZero, w, wZero int) *value {
	v, weights := c.centred(c.any(x), xZero, 1), c.any(w)
	if weights.kind == float || weights.diff {
		c.fail("its weights are not constant integers")
	}
	win, groups := c.convWindow(v, weights)
	p := c.cached(weights, win, func() any {
		f := c.centred(weights, wZero, 0)
		return prepackedSums{c.pack(f, win, v.shape[1], groups), reachOf(f.f, size(weights.shape[1:]))}
	}).(prepackedSums)
	return c.exactly(c.channelsLast(v), p.reach, func(x *value) *value { return c.convolved(x, p.convolution) })
}

// plus adds constant integers, which are broadcast, to sums that have just been
// made.
func (c *call) plus(sums, b *value) {
	if b.kind != integer || b.diff || !slices.Equal(c.broadcast(sums.shape, b.shape), sums.shape) {
		c.fail("its bias has shape %v for sums of shape %v", b.shape, sums.shape)
	}
	spreadOf(sums.shape, sums.shape, b.shape).each(func(o, _, j, n, _, sb int) {
		for q := range n {
			sums.i[o+q] += b.i[j+q*sb]
		}
	})
}

func convInteger(c *call) []*value { return []*value{c.convSums(0, 2, 1, 3)} }

func qLinearConv(c *call) []*value {
	y := c.convSums(0, 2, 3, 5)
	if c.has(8) {
		c.plus(y, c.view(c.any(8), ones(y.shape[1], 1, len(y.shape)-1)))
	}
	return []*value{c.requantized(y, c.factors(c.weights(1).f, c.weights(4).f, c.weights(6).f), 1, c.grid(6, 7, typeUint8))}
}

// matMulSums is the product of inputs a and b, whose zero points are inputs
// too, as int32. Those of a are one or one per row, those of b one or one a
// column.
func (c *call) matMulSums(a, aZero, b, bZero int) *value {
	x, y := c.centred(c.any(a), aZero, -2), c.centred(c.any(b), bZero, -1)
	return c.exactly(x, c.columnReach(y), func(x *value) *value { return c.product(x, y) })
}

func matMulInteger(c *call) []*value { return []*value{c.matMulSums(0, 2, 1, 3)} }

func qLinearMatMul(c *call) []*value {
	f := c.factors(c.weights(1).f, c.weights(4).f, c.weights(6).f)
	return []*value{c.requantized(c.matMulSums(0, 2, 3, 5), f, -1, c.grid(6, 7, typeUint8))}
}

// worth turns sums into reals: sum·factor, one for all or one per column.
func (c *call) worth(sums *value, factor []float32) *value {
	return c.combine(c.toFloat(sums), &value{kind: float, shape: []int{len(factor)}, f: factor}, mul())
}

func matMulIntegerToFloat(c *call) []*value {
	y := c.worth(c.matMulSums(0, 4, 1, 5), c.factors(c.weights(2).f, c.weights(3).f, nil))
	if c.has(6) {
		y = c.combine(y, c.x(6), add())
	}
	return []*value{y}
}

func dynamicQuantizeMatMul(c *call) []*value {
	q := dynamicQuantizeLinear(c)
	in := []*value{q[0], c.any(1), q[1], c.any(2), q[2], nil, nil}
	for i := 3; i < len(c.in); i++ {
		in[i+2] = c.in[i]
	}
	return matMulIntegerToFloat(&call{run: c.run, n: c.n, in: in[:min(len(in), 7)]})
}

// qGemm is Gemm on integers; without a scale of the output it answers reals.
func qGemm(c *call) []*value {
	turn := func(i int, name string) *value {
		v := c.any(i)
		if len(v.shape) != 2 {
			c.fail("its input %d has shape %v, want a matrix", i, v.shape)
		}
		if c.n.int(name, 0) != 0 {
			v = c.permuted(v, []int{1, 0})
		}
		return v
	}
	in := []*value{turn(0, "transA"), turn(3, "transB"), c.in[2], c.in[5]}
	y := (&call{run: c.run, n: c.n, in: in}).matMulSums(0, 2, 1, 3)
	if c.has(6) {
		c.plus(y, c.any(6))
	}
	alpha := []float32{c.n.float("alpha", 1)}
	if !c.has(7) {
		return []*value{c.worth(y, c.factors(c.factors(alpha, c.weights(1).f, nil), c.weights(4).f, nil))}
	}
	return []*value{c.requantized(y, c.factors(c.factors(alpha, c.weights(1).f, nil), c.weights(4).f, c.weights(7).f), -1, c.grid(7, 8, typeUint8))}
}

// realsOf are the numbers that input i stands for; its scale and zero point
// follow it.
func (c *call) realsOf(i int) *value {
	v := c.any(i)
	return c.reals(v, c.grid(i+1, i+2, 0), all(v.shape))
}

// onReals is an operator f on the numbers that integers stand for: inputs are
// x, its scale and zero point, the output's scale and zero point.
func onReals(f operator) operator {
	return func(c *call) []*value {
		if c.n.int("channels_last", 0) != 0 {
			c.fail("channels_last is not supported")
		}
		y := f(&call{run: c.run, n: c.n, in: []*value{c.realsOf(0)}})[0]
		return []*value{c.quantized(y, c.grid(3, 4, typeUint8), all(y.shape))}
	}
}

// qSoftmax is the softmax of the opset that the node names.
func qSoftmax(c *call) []*value {
	n := &node{name: c.n.name, op: c.n.op, domain: c.n.domain, attrs: c.n.attrs, version: int64(c.n.int("opset", 13))}
	return standard()["Softmax"](&call{run: c.run, n: n, in: c.in})
}

func qLinearConcat(c *call) []*value {
	if len(c.in) < 5 || (len(c.in)-2)%3 != 0 {
		c.fail("has %d inputs, want the output's scale and zero point, and three for each part", len(c.in))
	}
	g := c.grid(0, 1, typeUint8)
	in := fresh[*value](&c.room, len(c.in)/3)[:0]
	for i := 2; i < len(c.in); i += 3 {
		x := c.realsOf(i)
		in = append(in, c.quantized(x, g, all(x.shape)))
	}
	return concat(&call{run: c.run, n: c.n, in: in})
}

func qLinearAdd(c *call) []*value {
	a, b, y := c.grid(1, 2, 0), c.grid(4, 5, 0), c.grid(6, 7, typeUint8)
	for _, g := range []grid{a, b, y} {
		if len(g.scale) != 1 {
			c.fail("has %d scales for one of its operands, want one", len(g.scale))
		}
	}
	p, q := a.scale[0]/y.scale[0], b.scale[0]/y.scale[0]
	fixed := float32(y.zeroAt(0)) - (float32(p*float32(a.zeroAt(0))) + float32(q*float32(b.zeroAt(0))))
	x := c.each(c.toFloat(c.any(0)), unary{func(x float32) float32 { return float32(p*x) + fixed }, func(float32, float32) float32 { return p }})
	sum := c.combine(x, c.each(c.toFloat(c.any(3)), scaling(q)), add())
	return []*value{c.quantized(sum, grid{scale: []float32{1}, elem: y.elem}, all(sum.shape))}
}

func qLinearMul(c *call) []*value {
	products := c.combine(c.centred(c.any(0), 2, 0), c.centred(c.any(3), 5, 0), mul())
	return []*value{c.requantized(c.asWhole(products), c.factors(c.weights(1).f, c.weights(4).f, c.weights(6).f), 0, c.grid(6, 7, typeUint8))}
}

// asWhole are floats that hold whole numbers as int32, with their gradient.
func (c *call) asWhole(x *value) *value {
	x = c.plain(x)
	out := c.whole(typeInt32, x.shape)
	for i, v := range x.f {
		out.i[i] = int64(v)
	}
	c.record(out, func() { c.pass(x, out.d) }, x)
	return out
}

func qGlobalAveragePool(c *call) []*value {
	if c.n.int("channels_last", 0) != 0 {
		c.fail("channels_last is not supported")
	}
	x := c.centred(c.any(0), 2, 0)
	if len(x.shape) < 3 || size(x.shape) == 0 {
		c.fail("input has shape %v, want (N, C, spatial…)", x.shape)
	}
	gone := map[int]bool{}
	for a := 2; a < len(x.shape); a++ {
		gone[a] = true
	}
	sums := c.asWhole(c.reduced(x, gone, true, reductions()["ReduceSum"]))
	y := c.grid(3, 4, typeUint8)
	factor := c.weights(1).f[0] / (y.scale[0] * float32(size(x.shape[2:])))
	return []*value{c.requantized(sums, []float32{factor}, 0, y)}
}
