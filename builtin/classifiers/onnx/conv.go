package onnx

import (
	"github.com/vaeguard/vaeguard/host/kernel"
)

// convolution is a correlation from C to F channels, ready for the kernels:
// everything channels-last, dilated kernels filled up with zeros, a depth done
// as a sum of images.
type convolution struct {
	window
	c, f, groups int
	depthwise    bool
	packed       []float32 // per group and depth (KH, KW, C/groups, F/groups); depthwise (KH, KW, C, F/C)
}

// maxFilled is how many numbers a dilated kernel may have.
const maxFilled = 1 << 26

// pack lays out weights (F, C/groups, kernel…).
func (c *call) pack(w *value, win window, channels, groups int) *convolution {
	v := &convolution{window: win, c: channels, f: w.shape[0], groups: groups}
	v.depthwise = groups > 1 && groups == channels && win.flat()
	cg, fg := channels/groups, v.f/groups
	kd, kh, kw := win.kernel[0], win.kernel[1], win.kernel[2]
	h, wd := win.reach(1), win.reach(2)
	if h > maxFilled/wd || kd > maxFilled/(h*wd) || v.f*cg > maxFilled/(h*wd*kd) {
		c.fail("its dilated window is too large")
	}
	c.spend(kd*h*wd*cg, v.f)
	v.packed = fresh[float32](&c.room, kd*h*wd*cg*v.f)
	for f := range v.f {
		g, fi := f/fg, f%fg
		for ci := range cg {
			for z := range kd {
				for y := range kh {
					for x := range kw {
						at := ((g*kd+z)*h+y*win.dilation[1])*wd + x*win.dilation[2]
						to := (at*cg+ci)*fg + fi
						if v.depthwise {
							to = (y*win.dilation[1]*wd+x*win.dilation[2])*v.f + f
						}
						v.packed[to] = w.f[(((f*cg+ci)*kd+z)*kh+y)*kw+x]
					}
				}
			}
		}
	}
	return v
}

// geometry is that of one image with some of the channels.
func (v *convolution) geometry(c, f int) kernel.Conv {
	return kernel.Conv{
		H: v.in[1], W: v.in[2], C: c, OH: v.out[1], OW: v.out[2], F: f,
		KH: v.reach(1), KW: v.reach(2), SH: v.stride[1], SW: v.stride[2], Top: v.begin[1], Left: v.begin[2],
	}
}

// pay asks for the work and the kernels' scratch of n examples.
func (v *convolution) pay(r *run, n int, back bool) {
	g := v.geometry(v.c/v.groups, v.f/v.groups)
	pixels, depth := v.out[0]*g.OH*g.OW, g.KH*g.KW*g.C
	r.spend(n, max(pixels, v.in[0]*g.H*g.W), v.groups)
	r.spend(n, pixels, v.kernel[0]*depth, v.f)
	r.spend(n, v.in[0]*v.out[0]+v.out[0]*v.kernel[0], v.groups, workNode)
	const tile, block = 64, 168 // of the kernels at most
	if !back {
		columns := times(int64(min(tile, n*pixels)), int64(depth))
		r.kernel(max(columns, times(int64(depth), int64(g.F+tile))))
		return
	}
	r.spend(g.SH, g.SW, workNode) // phases
	packed, rows := times(int64(g.F), int64(depth+g.KH*g.KW*tile)), int64(0)
	if g.C%16 != 0 { // products with the whole kernel, some rows of each thread at a time
		rows = times(int64(max(block, g.OW)*r.k.Threads()), int64(depth+tile))
	}
	r.kernel(packed + rows)
}

// planes calls f for each kernel plane of each output plane that reads an
// input plane.
func (v *convolution) planes(n int, f func(in, out, plane int)) {
	for i := range n {
		for o := range v.out[0] {
			for k := range v.kernel[0] {
				if d := o*v.stride[0] - v.begin[0] + k*v.dilation[0]; d >= 0 && d < v.in[0] {
					f(i*v.in[0]+d, i*v.out[0]+o, k)
				}
			}
		}
	}
}

// forward computes y (n, D, H, W, F) from x, without a bias.
func (v *convolution) forward(r *run, y, x []float32, n int) {
	v.pay(r, n, false)
	if v.depthwise {
		r.k.DepthwiseForward(y, x, v.packed, n, kernel.Depthwise{Conv: v.geometry(v.c, v.f), M: v.f / v.c}, kernel.Epilogue{})
		return
	}
	v.grouped(r, y, x, n, v.f, v.c, false, func(y, x, w []float32, g kernel.Conv) {
		if v.flat() {
			r.k.ConvForward(y, x, w, n, g, kernel.Epilogue{})
			return
		}
		clear(y)
		in, out, k := g.H*g.W*g.C, g.OH*g.OW*g.F, g.KH*g.KW*g.C*g.F
		v.planes(n, func(i, o, p int) {
			r.k.ConvForward(y[o*out:][:out], x[i*in:][:in], w[p*k:][:k], 1, g, kernel.Epilogue{Accumulate: true})
		})
	})
}

// backward computes dx from dy.
func (v *convolution) backward(r *run, dx, dy []float32, n int) {
	v.pay(r, n, true)
	if v.depthwise {
		r.k.DepthwiseInput(dx, dy, v.packed, n, kernel.Depthwise{Conv: v.geometry(v.c, v.f), M: v.f / v.c})
		return
	}
	v.grouped(r, dx, dy, n, v.c, v.f, true, func(dx, dy, w []float32, g kernel.Conv) {
		if v.flat() {
			r.k.ConvInput(dx, dy, w, n, g, kernel.Epilogue{})
			return
		}
		clear(dx)
		in, out, k := g.H*g.W*g.C, g.OH*g.OW*g.F, g.KH*g.KW*g.C*g.F
		v.planes(n, func(i, o, p int) {
			r.k.ConvInput(dx[i*in:][:in], dy[o*out:][:out], w[p*k:][:k], 1, g, kernel.Epilogue{Accumulate: true})
		})
	})
}

// grouped calls f with the channels of each group on their own.
func (v *convolution) grouped(r *run, dst, src []float32, n, cd, cs int, back bool, f func(dst, src, w []float32, g kernel.Conv)) {
	cg, fg := v.c/v.groups, v.f/v.groups
	g := v.geometry(cg, fg)
	if v.groups == 1 {
		f(dst, src, v.packed, g)
		return
	}
	one, each := len(v.packed)/v.groups, cd/v.groups
	take := pick(back, r.spare, r.numbers)
	d, s := take(len(dst)/v.groups), take(len(src)/v.groups)
	for k := range v.groups {
		columns(s, src, cs/v.groups, 0, cs, k*(cs/v.groups), cs/v.groups)
		f(d, s, v.packed[k*one:][:one], g)
		for i := range len(d) / each {
			copy(dst[i*cd+k*each:][:each], d[i*each:][:each])
		}
	}
}

// columns copies n columns from at of src, rows of width ws, to dst, rows of
// width wd, from column to.
func columns(dst, src []float32, wd, to, ws, at, n int) {
	for i := range len(src) / ws {
		copy(dst[i*wd+to:][:n], src[i*ws+at:][:n])
	}
}

// conv is a correlation with constant weights.
func conv(c *call) []*value {
	x, w := c.x(0), c.weights(1)
	win, groups := c.convWindow(x, w)
	v := c.cached(w, win, func() any { return c.pack(w, win, x.shape[1], groups) }).(*convolution)
	return []*value{c.biased(c.convolved(c.channelsLast(x), v), v.f)}
}

// convWindow is how weights walk over x, and in how many groups of channels.
func (c *call) convWindow(x, w *value) (window, int) {
	groups := c.n.int("group", 1)
	if len(x.shape) < 3 || len(w.shape) != len(x.shape) || groups < 1 || x.shape[1] != w.shape[1]*groups || w.shape[0]%groups != 0 {
		c.fail("input %v does not fit weights %v in %d groups", x.shape, w.shape, groups)
	}
	win := c.window(x.shape[2:], w.shape[2:])
	c.place(&win)
	return win, groups
}

// convolved is the correlation of x, stored channels-last.
func (c *call) convolved(x *value, v *convolution) *value {
	out := c.float(v.window.shape(x.shape[0], v.f, len(x.shape)-2), true)
	if len(x.f) > 0 && len(out.f) > 0 {
		v.forward(c.run, out.f, x.f, x.shape[0])
	}
	c.record(out, func() {
		d := c.spare(len(x.f))
		v.backward(c.run, d, out.d, x.shape[0])
		c.pass(x, d)
	}, x)
	return out
}

// biased adds input 2, a number per channel, to a value that has just been
// made and is stored channels-last.
func (c *call) biased(out *value, channels int) *value {
	if !c.has(2) {
		return out
	}
	b := c.weights(2)
	if len(b.f) != channels {
		c.fail("its bias has %d numbers for %d channels", len(b.f), channels)
	}
	for i := 0; i < len(out.f); i += channels {
		row := out.f[i : i+channels]
		for q, v := range b.f {
			row[q] += v
		}
	}
	return out
}

// prepared is what a node made of its constants for one geometry.
type prepared struct {
	win window
	v   any
}

// cached is what prepare gives, kept with the node if the weights are constant
// and the geometry that of the first call.
func (c *call) cached(w *value, win window, prepare func() any) any {
	if !w.constant {
		return prepare()
	}
	c.n.once.Do(func() { c.lasting(func() { c.n.ready = prepared{win, prepare()} }) })
	if p, ok := c.n.ready.(prepared); ok && p.win == win {
		return p.v
	}
	return prepare()
}

// convTranspose is the transpose of a correlation: its backward pass, run
// forwards.
func convTranspose(c *call) []*value {
	x, w := c.x(0), c.weights(1)
	groups := c.n.int("group", 1)
	if len(x.shape) < 3 || len(w.shape) != len(x.shape) || groups < 1 || x.shape[1] != w.shape[0] || w.shape[0]%groups != 0 {
		c.fail("input %v does not fit weights %v in %d groups", x.shape, w.shape, groups)
	}
	win := c.window(x.shape[2:], w.shape[2:])
	c.placeTransposed(&win, len(x.shape)-2)
	channels := w.shape[1] * groups
	v := c.cached(w, win, func() any { // seen from its output: that is what the correlation reads
		turned := win
		turned.in, turned.out = win.out, win.in
		return c.pack(w, turned, channels, groups)
	}).(*convolution)
	x = c.channelsLast(x)
	out := c.float(win.shape(x.shape[0], channels, len(x.shape)-2), true)
	if len(x.f) > 0 && len(out.f) > 0 {
		v.backward(c.run, out.f, x.f, x.shape[0])
	}
	c.record(out, func() {
		d := c.spare(len(x.f))
		v.forward(c.run, d, out.d, x.shape[0])
		c.pass(x, d)
	}, x)
	return []*value{c.biased(out, channels)}
}

// placeTransposed sets the output's size and the padding of a transposed
// convolution.
func (c *call) placeTransposed(w *window, spatial int) {
	extra, want, auto := c.n.ints("output_padding"), c.n.ints("output_shape"), c.n.text("auto_pad", "NOTSET")
	if extra != nil && len(extra) != spatial || want != nil && len(want) < spatial {
		c.fail("has output_padding %v and output_shape %v for %d spatial dimensions", extra, want, spatial)
	}
	if want != nil {
		want = want[len(want)-spatial:]
	}
	for i := range w.in {
		q := i - (3 - spatial)
		full := (w.in[i]-1)*w.stride[i] + w.reach(i)
		if q >= 0 && extra != nil {
			if extra[q] < 0 {
				c.fail("has output_padding %v", extra)
			}
			full += extra[q]
		}
		switch {
		case q >= 0 && want != nil:
			w.out[i] = want[q]
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			w.out[i] = w.in[i] * w.stride[i]
		default:
			w.out[i] = full - w.begin[i] - w.end[i]
			if w.out[i] < 1 {
				c.fail("gives an output of size %d", w.out[i])
			}
			continue
		}
		total := max(0, full-w.out[i])
		w.begin[i] = total - total/2
		if auto == "SAME_UPPER" {
			w.begin[i] = total / 2
		}
		w.end[i] = total - w.begin[i]
	}
}
