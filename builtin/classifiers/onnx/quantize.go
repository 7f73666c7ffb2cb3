package onnx

import "math"

// straight are operators that round reals to integers or compute with such
// integers. Gradients pass straight through the rounding and stop where it
// saturates (Bengio et al. 2013, arXiv:1308.3432); scales and zero points that
// are read off the numbers count as constants.
var straight = map[string]bool{
	"QuantizeLinear": true, "DequantizeLinear": true, "DynamicQuantizeLinear": true, "ConvInteger": true, "MatMulInteger": true,
	"QLinearConv": true, "QLinearMatMul": true, "QLinearAdd": true, "QLinearMul": true, "QLinearSigmoid": true, "QLinearLeakyRelu": true,
	"QLinearGlobalAveragePool": true, "QLinearAveragePool": true, "QLinearConcat": true, "QLinearSoftmax": true, "QGemm": true,
	"DynamicQuantizeMatMul": true, "MatMulIntegerToFloat": true,
}

// grid is how integers stand for reals: real = (q − zero)·scale. Both are one
// number or one for each place of an axis or block.
type grid struct {
	scale []float32
	zero  []int64 // nil: 0
	elem  int64   // of the integers
}

// grid reads a scale and a zero point, inputs of the node that do not depend
// on the model's input. Without a zero point the integers are of type elem.
func (c *call) grid(scale, zero int, elem int64) grid {
	g := grid{scale: c.weights(scale).f, elem: elem}
	if c.has(zero) {
		z := c.any(zero)
		if z.kind != integer || z.diff || len(z.i) != 1 && len(z.i) != len(g.scale) {
			c.fail("has %d scales and a zero point of shape %v", len(g.scale), z.shape)
		}
		g.zero, g.elem = z.i, z.elem
	}
	if len(g.scale) == 0 {
		c.fail("has no scale")
	}
	for i, s := range g.scale {
		if !isFinite(s) {
			c.fail("its input %d, a scale, is %v at place %d: want finite", scale, s, i)
		}
	}
	return g
}

func (g *grid) zeroAt(k int) int64 {
	if len(g.zero) == 0 {
		return 0
	}
	return g.zero[min(k, len(g.zero)-1)]
}

// runs calls f with runs of n numbers at i of a tensor, plainly stored, that
// share scale s: all of them, those at one place of an axis, or of a block.
func (c *call) runs(shape []int, scale *value, f func(i, n, s int)) {
	total := size(shape)
	if len(scale.f) == 1 {
		f(0, total, 0)
		return
	}
	axis := c.axisOf(c.n.int("axis", 1), len(shape))
	d, inner := shape[axis], size(shape[axis+1:])
	block := c.n.int("block_size", 0)
	if block == 0 {
		if len(scale.f) != d {
			c.fail("has %d scales for shape %v along axis %d", len(scale.f), shape, axis)
		}
		for i, k := 0, 0; i < total; i, k = i+inner, (k+1)%d {
			f(i, inner, k)
		}
		return
	}
	blocks := 0
	if len(scale.shape) == len(shape) {
		blocks = scale.shape[axis]
	}
	if block < 0 || blocks*block < d || len(scale.f) != total/max(1, d)*blocks {
		c.fail("has scales of shape %v for shape %v in blocks of %d along axis %d", scale.shape, shape, block, axis)
	}
	for i := range total {
		f(i, 1, (i/(inner*d)*blocks+i/inner%d/block)*inner+i%inner)
	}
}

// quantized rounds reals to a grid. runs says which numbers share which of its
// scales.
func (c *call) quantized(x *value, g grid, runs func(f func(i, n, s int))) *value {
	x = c.plain(x)
	for i, s := range g.scale {
		if s == 0 {
			c.fail("divides by its scale, which is 0 at place %d", i)
		}
	}
	out := c.whole(g.elem, x.shape)
	lo, hi := limits(g.elem)
	raw := func(v float32, s int) float64 { return math.RoundToEven(float64(v/g.scale[s])) + float64(g.zeroAt(s)) }
	runs(func(i, n, s int) {
		for q, v := range x.f[i : i+n] {
			if r := raw(v, s); r == r {
				out.i[i+q] = int64(min(max(r, float64(lo)), float64(hi)))
			}
		}
	})
	c.estimates(x)
	c.record(out, func() {
		runs(func(i, n, s int) {
			for q, v := range x.f[i : i+n] {
				r := raw(v, s)
				out.d[i+q] = pick(r >= float64(lo) && r <= float64(hi), out.d[i+q]/g.scale[s], 0)
			}
		})
		c.pass(x, out.d)
	}, x)
	return out
}

// estimates notes that a gradient at x would pass straight through a rounding.
func (r *run) estimates(x *value) { r.estimated = r.estimated || x.diff }

// reals are the numbers that integers on a grid stand for.
func (c *call) reals(x *value, g grid, runs func(f func(i, n, s int))) *value {
	if x.kind == float {
		c.fail("its input holds floats, want integers")
	}
	out := c.float(x.shape, false)
	runs(func(i, n, s int) {
		z := g.zeroAt(s)
		for q, v := range x.i[i : i+n] {
			out.f[i+q] = float32(v-z) * g.scale[s]
		}
	})
	c.record(out, func() {
		runs(func(i, n, s int) {
			for q := range n {
				out.d[i+q] *= g.scale[s]
			}
		})
		c.pass(x, out.d)
	}, x)
	return out
}

func quantizeLinear(c *call) []*value {
	x := c.toFloat(c.any(0))
	g := c.grid(1, 2, int64(pick(c.n.int("output_dtype", 0) == 0, typeUint8, c.n.int("output_dtype", 0))))
	if kindOf(g.elem) != integer {
		c.fail("rounds to element type %d, want integers", g.elem)
	}
	return []*value{c.quantized(x, g, func(f func(i, n, s int)) { c.runs(x.shape, c.in[1], f) })}
}

func dequantizeLinear(c *call) []*value {
	x := c.any(0)
	return []*value{c.reals(x, c.grid(1, 2, 0), func(f func(i, n, s int)) { c.runs(x.shape, c.in[1], f) })}
}

// all is runs of a grid with one scale.
func all(shape []int) func(f func(i, n, s int)) {
	return func(f func(i, n, s int)) { f(0, size(shape), 0) }
}

// dynamicQuantizeLinear chooses a grid of uint8 that reaches from the smallest
// to the largest number and 0.
func dynamicQuantizeLinear(c *call) []*value {
	x := c.plain(c.x(0))
	var lo, hi float32
	for _, v := range x.f {
		lo, hi = min(lo, v), max(hi, v)
	}
	scale := float32(1)
	if hi != lo {
		scale = (hi - lo) / 255
	}
	zero := rounded(-lo/scale, typeUint8)
	g := grid{scale: []float32{scale}, zero: []int64{zero}, elem: typeUint8}
	return []*value{c.quantized(x, g, all(x.shape)), {kind: float, shape: []int{}, f: g.scale}, {kind: integer, elem: typeUint8, shape: []int{}, i: g.zero}}
}
