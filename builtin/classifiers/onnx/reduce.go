package onnx

import (
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// reduction turns rows into numbers: y = f(x), and back writes
// dx = dy·∂y/∂x to d.
type reduction struct {
	f      func(x []float32) float64
	back   func(d, x []float32, y, dy float64)
	whole  func(x []int64) int64
	mean   bool
	square bool // back takes the square of the width
}

func sumOf(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(v)
	}
	return s
}

// slopes makes back of the derivative at one element.
func slopes(d func(x, y float64, n int) float64) func(d, x []float32, y, dy float64) {
	return func(to, x []float32, y, dy float64) {
		for i, v := range x {
			to[i] = float32(dy * d(float64(v), y, len(x)))
		}
	}
}

// extreme gives the gradient to the first of the best.
func extreme(better func(a, b float32) bool) *reduction {
	best := func(x []float32) int {
		at := 0
		for i, v := range x {
			if better(v, x[at]) {
				at = i
			}
		}
		return at
	}
	return &reduction{
		f: func(x []float32) float64 { return float64(x[best(x)]) },
		back: func(d, x []float32, _, dy float64) {
			clear(d)
			d[best(x)] = float32(dy)
		},
	}
}

func sumWhole(x []int64) int64 {
	var s int64
	for _, v := range x {
		s += v
	}
	return s
}

func reductions() map[string]*reduction {
	largest, smallest := extreme(func(a, b float32) bool { return a > b }), extreme(func(a, b float32) bool { return a < b })
	largest.whole = func(x []int64) int64 { return slices.Max(x) }
	smallest.whole = func(x []int64) int64 { return slices.Min(x) }
	square := func(x []float32) float64 {
		var s float64
		for _, v := range x {
			s += float64(v) * float64(v)
		}
		return s
	}
	return map[string]*reduction{
		"ReduceSum": {f: sumOf, back: slopes(func(_, _ float64, _ int) float64 { return 1 }), whole: sumWhole},
		"ReduceMean": {f: func(x []float32) float64 { return sumOf(x) / float64(len(x)) },
			back: slopes(func(_, _ float64, n int) float64 { return 1 / float64(n) }), mean: true,
			whole: func(x []int64) int64 { return sumWhole(x) / int64(max(1, len(x))) }},
		"ReduceMax": largest,
		"ReduceMin": smallest,
		"ReduceProd": {f: product, back: productBack, square: true, whole: func(x []int64) int64 {
			p := int64(1)
			for _, v := range x {
				p *= v
			}
			return p
		}},
		"ReduceSumSquare": {f: square, back: slopes(func(x, _ float64, _ int) float64 { return 2 * x })},
		"ReduceL1": {f: func(x []float32) float64 {
			var s float64
			for _, v := range x {
				s += math.Abs(float64(v))
			}
			return s
		}, back: slopes(func(x, _ float64, _ int) float64 { return sign(x) })},
		"ReduceL2": {f: func(x []float32) float64 { return math.Sqrt(square(x)) },
			back: slopes(func(x, y float64, _ int) float64 { return pick(y == 0, 0, x/y) })},
		"ReduceLogSum": {f: func(x []float32) float64 { return math.Log(sumOf(x)) },
			back: slopes(func(_, y float64, _ int) float64 { return math.Exp(-y) })},
		"ReduceLogSumExp": {f: logSumExp, back: slopes(func(x, y float64, _ int) float64 { return math.Exp(x - y) })},
	}
}

func product(x []float32) float64 {
	p := 1.0
	for _, v := range x {
		p *= float64(v)
	}
	return p
}

// productBack multiplies the others: a quotient would fail at zeros.
func productBack(d, x []float32, _, dy float64) {
	for i := range x {
		p := dy
		for k, v := range x {
			if k != i {
				p *= float64(v)
			}
		}
		d[i] = float32(p)
	}
}

func logSumExp(x []float32) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	if math.IsInf(top, 0) {
		return top
	}
	var s float64
	for _, v := range x {
		s += math.Exp(float64(v) - top)
	}
	return top + math.Log(s)
}

// reduce is the operator of a reduction; the axes are an attribute or, in new
// opsets, an input.
func reduce(p *reduction) operator {
	return func(c *call) []*value {
		v := c.any(0)
		axes, _ := c.list("axes", 1)
		if len(axes) == 0 {
			if c.n.int("noop_with_empty_axes", 0) != 0 {
				return []*value{v}
			}
			axes = count(len(v.shape))
		}
		return []*value{c.reduced(v, c.axesOf(axes, len(v.shape)), c.n.int("keepdims", 1) != 0, p)}
	}
}

func (c *call) reduced(v *value, gone map[int]bool, keepdims bool, p *reduction) *value {
	var shape, perm, tail []int
	for a, d := range v.shape {
		switch {
		case gone[a]:
			tail = append(tail, a)
			if keepdims {
				shape = append(shape, 1)
			}
		default:
			shape, perm = append(shape, d), append(perm, a)
		}
	}
	if p.mean && v.last && len(tail) == len(v.shape)-2 && tail[0] == 2 && size(v.shape) > 0 { // over an image
		s := size(v.shape[2:])
		y := c.spatialMean(v, kernel.Pool{H: s, W: 1, C: v.shape[1], OH: 1, OW: 1, KH: s, KW: 1, SH: 1, SW: 1})
		return c.view(y, shape)
	}
	width := 1
	for _, a := range tail {
		width *= v.shape[a]
	}
	x := c.permuted(c.plain(v), append(perm, tail...))
	if width == 0 {
		c.fail("reduces a dimension of size 0 of shape %v", v.shape)
	}
	if v.kind != float {
		if p.whole == nil {
			c.fail("is not supported for integers")
		}
		out := c.like(v, shape, false)
		for i := range out.i {
			out.i[i] = p.whole(x.i[i*width:][:width])
		}
		return out
	}
	return c.rows(x, shape, width, p)
}

// rows applies p to rows of the given width.
func (r *run) rows(x *value, shape []int, width int, p *reduction) *value {
	out := r.float(shape, false)
	if p.square {
		r.spend(len(x.f), width)
	}
	grain := 1 + mapGrain/width
	r.k.Parallel(len(out.f), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			out.f[i] = float32(p.f(x.f[i*width:][:width]))
		}
	})
	r.record(out, func() {
		d := r.spare(len(x.f))
		r.k.Parallel(len(out.f), grain, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				p.back(d[i*width:][:width], x.f[i*width:][:width], float64(out.f[i]), float64(out.d[i]))
			}
		})
		r.pass(x, d)
	}, x)
	return out
}

// argBest is the place of the largest or smallest along an axis, as integers.
func argBest(better func(a, b float32) bool) operator {
	return func(c *call) []*value {
		x := c.plain(c.x(0))
		axis := c.axisOf(c.n.int("axis", 0), len(x.shape))
		lastOne := c.n.int("select_last_index", 0) != 0
		n, inner := x.shape[axis], size(x.shape[axis+1:])
		shape := slices.Clone(x.shape)
		shape[axis] = 1
		if n == 0 {
			c.fail("input has shape %v", x.shape)
		}
		out := c.whole(0, shape)
		for o := range out.i {
			row := x.f[o/inner*n*inner+o%inner:]
			best := 0
			for k := 1; k < n; k++ {
				if better(row[k*inner], row[best*inner]) || lastOne && row[k*inner] == row[best*inner] {
					best = k
				}
			}
			out.i[o] = int64(best)
		}
		if c.n.int("keepdims", 1) == 0 {
			out.shape = slices.Delete(shape, axis, axis+1)
		}
		return []*value{out}
	}
}
