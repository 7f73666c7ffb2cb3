package onnx

import (
	"math"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// poolWindow reads a pooling's attributes.
func poolWindow(c *call, x *value) window {
	if len(x.shape) < 3 {
		c.fail("input has shape %v, want (N, C, spatial…)", x.shape)
	}
	win := c.window(x.shape[2:], c.n.ints("kernel_shape"))
	c.place(&win)
	return win
}

func (w *window) pool(c int) kernel.Pool {
	return kernel.Pool{H: w.in[1], W: w.in[2], C: c, OH: w.out[1], OW: w.out[2], KH: w.kernel[1], KW: w.kernel[2],
		SH: w.stride[1], SW: w.stride[2], Top: w.begin[1], Left: w.begin[2]}
}

// pay asks for the work of pooling n channels of examples, on the way back too.
func (w *window) pay(c *call, n int) {
	c.mind(w.out[:])
	c.mind(w.kernel[:])
	c.spend(n, size(w.out[:]), size(w.kernel[:]))
	c.spend(size(w.out[:]), size(w.kernel[:]), workElement)
}

// simple reports that the kernels can do it.
func (w *window) simple() bool { return w.flat() && w.dilation == [3]int{1, 1, 1} }

// visit calls f(output, input) for the pixels under each window, in order,
// within one example.
func (w *window) visit(f func(o, i int)) {
	o := 0
	for z := range w.out[0] {
		for y := range w.out[1] {
			for x := range w.out[2] {
				for kz := range w.kernel[0] {
					iz := z*w.stride[0] - w.begin[0] + kz*w.dilation[0]
					for ky := range w.kernel[1] {
						iy := y*w.stride[1] - w.begin[1] + ky*w.dilation[1]
						for kx := range w.kernel[2] {
							ix := x*w.stride[2] - w.begin[2] + kx*w.dilation[2]
							if iz >= 0 && iz < w.in[0] && iy >= 0 && iy < w.in[1] && ix >= 0 && ix < w.in[2] {
								f(o, (iz*w.in[1]+iy)*w.in[2]+ix)
							}
						}
					}
				}
				o++
			}
		}
	}
}

func maxPool(c *call) []*value {
	if v := c.any(0); v.kind == integer && v.elem != 0 {
		y := maxPool(&call{run: c.run, n: c.n, in: []*value{c.toFloat(v)}})[0]
		return []*value{c.toElem(c.asWhole(y), v.elem)}
	}
	x := c.x(0)
	win := poolWindow(c, x)
	x = c.channelsLast(x)
	n, ch := x.shape[0], x.shape[1]
	out := c.float(win.shape(n, ch, len(x.shape)-2), true)
	win.pay(c, n*ch)
	arg := fresh[int32](&c.room, len(out.f)) // where in its example each maximum lies
	if win.simple() {
		c.k.MaxPool(out.f, arg, x.f, n, win.pool(ch))
	} else {
		maxByVisit(&win, out.f, x.f, arg, n, ch)
	}
	c.record(out, func() {
		d := c.spare(len(x.f))
		clear(d)
		in, each := len(d)/n, len(arg)/n
		for k, at := range arg {
			if at >= 0 {
				d[k/each*in+int(at)] += out.d[k]
			}
		}
		c.pass(x, d)
	}, x)
	return []*value{out}
}

func maxByVisit(win *window, y, x []float32, arg []int32, n, ch int) {
	in, each := len(x)/max(1, n), len(y)/max(1, n)
	for i := range y {
		arg[i], y[i] = -1, float32(math.Inf(-1))
	}
	for k := range n {
		x, y, arg := x[k*in:][:in], y[k*each:][:each], arg[k*each:][:each]
		win.visit(func(o, i int) {
			for q, v := range x[i*ch:][:ch] {
				if at := o*ch + q; arg[at] < 0 || v > y[at] {
					y[at], arg[at] = v, int32(i*ch+q)
				}
			}
		})
	}
	for i, at := range arg {
		if at < 0 {
			y[i] = 0
		}
	}
}

func averagePool(c *call) []*value {
	x := c.x(0)
	win := poolWindow(c, x)
	padded := c.n.int("count_include_pad", 0) != 0
	x = c.channelsLast(x)
	n, ch := x.shape[0], x.shape[1]
	out := c.float(win.shape(n, ch, len(x.shape)-2), true)
	win.pay(c, n*ch)
	if win.simple() && (!padded || win.begin == [3]int{} && win.end == [3]int{} && c.n.int("ceil_mode", 0) == 0) {
		g := win.pool(ch)
		c.k.AvgPool(out.f, x.f, n, g)
		c.record(out, func() {
			d := c.spare(len(x.f))
			c.k.AvgPoolGrad(d, out.d, n, g)
			c.pass(x, d)
		}, x)
		return []*value{out}
	}
	share := win.shares(c, padded)
	in, each := len(x.f)/max(1, n), len(out.f)/max(1, n)
	clear(out.f)
	for k := range n {
		win.visit(func(o, i int) { blend(out.f[k*each+o*ch:][:ch], x.f[k*in+i*ch:][:ch], share[o]) })
	}
	c.record(out, func() {
		d := c.spare(len(x.f))
		clear(d)
		for k := range n {
			win.visit(func(o, i int) { blend(d[k*in+i*ch:][:ch], out.d[k*each+o*ch:][:ch], share[o]) })
		}
		c.pass(x, d)
	}, x)
	return []*value{out}
}

// blend adds s·x to y.
func blend(y, x []float32, s float32) {
	for i, v := range x {
		y[i] += float32(s * v)
	}
}

// shares is one over the number of pixels that each window counts: those
// inside or, padded, those inside the padding too.
func (w *window) shares(c *call, padded bool) []float32 {
	count := fresh[int](&c.room, size(w.out[:]))
	if padded {
		full := *w // the same windows over the input with its padding
		for i := range full.in {
			full.in[i] += w.begin[i] + w.end[i]
		}
		full.begin = [3]int{}
		full.visit(func(o, _ int) { count[o]++ })
	} else {
		w.visit(func(o, _ int) { count[o]++ })
	}
	out := fresh[float32](&c.room, len(count))
	for i, k := range count {
		out[i] = 1 / float32(max(1, k))
	}
	return out
}

// spatialPool is the window of a global pooling: everything.
func spatialPool(c *call) (*value, kernel.Pool) {
	x := c.x(0)
	if len(x.shape) < 3 || size(x.shape) == 0 {
		c.fail("input has shape %v, want (N, C, spatial…)", x.shape)
	}
	s := size(x.shape[2:])
	return c.channelsLast(x), kernel.Pool{H: s, W: 1, C: x.shape[1], OH: 1, OW: 1, KH: s, KW: 1, SH: 1, SW: 1}
}

// ones is (n, c, 1…) of a rank.
func ones(n, c, rank int) []int {
	shape := []int{n, c}
	for len(shape) < rank {
		shape = append(shape, 1)
	}
	return shape
}

func globalAveragePool(c *call) []*value {
	x, g := spatialPool(c)
	return []*value{c.spatialMean(x, g)}
}

func (c *call) spatialMean(x *value, g kernel.Pool) *value {
	n := x.shape[0]
	out := c.float(ones(n, g.C, len(x.shape)), true)
	c.k.AvgPool(out.f, x.f, n, g)
	c.record(out, func() {
		d := c.spare(len(x.f))
		c.k.AvgPoolGrad(d, out.d, n, g)
		c.pass(x, d)
	}, x)
	return out
}

func globalMaxPool(c *call) []*value {
	x, g := spatialPool(c)
	n := x.shape[0]
	out := c.float(ones(n, g.C, len(x.shape)), true)
	arg := fresh[int32](&c.room, len(out.f))
	c.k.MaxPool(out.f, arg, x.f, n, g)
	c.record(out, func() {
		d := c.spare(len(x.f))
		c.k.MaxPoolGrad(d, out.d, arg, n, g)
		c.pass(x, d)
	}, x)
	return []*value{out}
}
