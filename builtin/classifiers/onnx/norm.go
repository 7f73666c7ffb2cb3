package onnx

import "math"

// batchNormalization in inference: a scale and an offset per channel.
func batchNormalization(c *call) []*value {
	x := c.x(0)
	if c.n.int("training_mode", 0) != 0 {
		c.fail("is in training mode: export the model in evaluation mode")
	}
	if c.n.version < 9 && c.n.int("spatial", 1) == 0 {
		c.fail("has spatial: 0, a scale for each pixel, which is not supported")
	}
	if len(x.shape) < 2 {
		c.fail("input has shape %v, want (N, C, …)", x.shape)
	}
	ch := x.shape[1]
	var p [4]*value
	for i := range p {
		if p[i] = c.weights(i + 1); len(p[i].f) != ch {
			c.fail("its input %d has %d numbers for %d channels", i+1, len(p[i].f), ch)
		}
	}
	eps := float64(c.n.float("epsilon", 1e-5))
	factor, offset, zeros := fresh[float32](&c.room, ch), fresh[float32](&c.room, ch), fresh[float32](&c.room, ch)
	for i := range ch {
		s := float64(p[0].f[i]) / math.Sqrt(float64(p[3].f[i])+eps)
		factor[i] = float32(s)
		offset[i] = float32(float64(p[1].f[i]) - float64(p[2].f[i])*s)
	}
	if len(x.shape) > 2 {
		x = c.channelsLast(x)
	}
	out := c.float(x.shape, x.last)
	c.k.ScaleColumns(out.f, x.f, factor, offset)
	c.record(out, func() {
		c.k.ScaleColumns(out.d, out.d, factor, zeros)
		c.pass(x, out.d)
	}, x)
	return []*value{out}
}

// standardized makes rows of the given width have mean 0 and variance 1. It
// also gives each row's mean and one over its deviation.
func (r *run) standardized(x *value, width int, eps float64) (out, mean, invStd *value) {
	x = r.plain(x)
	out = r.float(x.shape, false)
	n := len(x.f) / max(1, width)
	mean, invStd = r.float([]int{n}, false), r.float([]int{n}, false)
	r.k.Parallel(n, 1+mapGrain/max(1, width), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x, y := x.f[i*width:][:width], out.f[i*width:][:width]
			var m, s float64
			for _, v := range x {
				m += float64(v)
			}
			m /= float64(width)
			for _, v := range x {
				s += (float64(v) - m) * (float64(v) - m)
			}
			inv := 1 / math.Sqrt(s/float64(width)+eps)
			mean.f[i], invStd.f[i] = float32(m), float32(inv)
			for q, v := range x {
				y[q] = float32((float64(v) - m) * inv)
			}
		}
	})
	hat := out.f
	r.record(out, func() { // dx = (dy − mean(dy) − y·mean(dy·y))/σ
		r.k.Parallel(n, 1+mapGrain/max(1, width), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				y, d := out.f[i*width:][:width], out.d[i*width:][:width]
				var m, s float64
				for q, v := range d {
					m += float64(v)
					s += float64(v) * float64(y[q])
				}
				m, s = m/float64(width), s/float64(width)
				for q, v := range d {
					d[q] = float32((float64(v) - m - float64(y[q])*s) * float64(invStd.f[i]))
				}
			}
		})
		r.pass(x, out.d)
	}, x)
	r.moment(mean, x, width, func(int) float64 { return 1 })
	r.moment(invStd, x, width, func(i int) float64 {
		inv := float64(invStd.f[i/width])
		return -inv * inv * float64(hat[i])
	})
	return out, mean, invStd
}

// moment records a number per row whose derivative at element i of x is
// slope(i)/width.
func (r *run) moment(m, x *value, width int, slope func(i int) float64) {
	r.record(m, func() {
		d := r.spare(len(x.f))
		for i := range d {
			d[i] = float32(float64(m.d[i/width]) * slope(i) / float64(width))
		}
		r.pass(x, d)
	}, x)
}

func layerNormalization(c *call) []*value {
	x := c.x(0)
	axis := c.axisOf(c.n.int("axis", -1), len(x.shape))
	y, mean, inv := c.standardized(x, size(x.shape[axis:]), float64(c.n.float("epsilon", 1e-5)))
	y = c.combine(y, c.x(1), mul())
	if c.has(2) {
		y = c.combine(y, c.x(2), add())
	}
	shape := append([]int{}, x.shape[:axis]...)
	for range len(x.shape) - axis {
		shape = append(shape, 1)
	}
	return []*value{y, c.view(mean, shape), c.view(inv, shape)}
}

func instanceNormalization(c *call) []*value {
	x := c.x(0)
	if len(x.shape) < 3 {
		c.fail("input has shape %v, want (N, C, spatial…)", x.shape)
	}
	y, _, _ := c.standardized(x, size(x.shape[2:]), float64(c.n.float("epsilon", 1e-5)))
	return []*value{c.perChannel(y, c.x(1), c.x(2), x.shape[1])}
}

// perChannel computes y·scale + bias.
func (c *call) perChannel(y, scale, bias *value, ch int) *value {
	if size(scale.shape) != ch || size(bias.shape) != ch {
		c.fail("its scale and bias have shapes %v and %v for %d channels", scale.shape, bias.shape, ch)
	}
	shape := ones(ch, 1, len(y.shape)-1)
	return c.combine(c.combine(y, c.view(scale, shape), mul()), c.view(bias, shape), add())
}

// groupNormalization is the operator of opset 18 and later.
func groupNormalization(c *call) []*value {
	x := c.plain(c.x(0))
	groups := c.n.int("num_groups", 0)
	if len(x.shape) < 2 || groups < 1 || x.shape[1]%groups != 0 {
		c.fail("cannot cut shape %v into %d groups of channels", x.shape, groups)
	}
	ch := x.shape[1]
	y, _, _ := c.standardized(x, ch/groups*size(x.shape[2:]), float64(c.n.float("epsilon", 1e-5)))
	scale, bias := c.x(1), c.x(2)
	if len(scale.f) == groups && groups != ch { // opset 18: per group
		scale, bias = c.repeated(scale, ch/groups), c.repeated(bias, ch/groups)
	}
	return []*value{c.perChannel(y, scale, bias, ch)}
}

// repeated repeats each number of a vector k times.
func (c *call) repeated(v *value, k int) *value {
	idx := fresh[int](&c.room, len(v.f)*k)
	for i := range idx {
		idx[i] = i / k
	}
	return c.gather(v, 0, idx, 0)
}

// lrn is local response normalisation over channels.
func lrn(c *call) []*value {
	x := c.x(0)
	if len(x.shape) < 3 {
		c.fail("input has shape %v, want (N, C, spatial…)", x.shape)
	}
	x = c.channelsLast(x)
	alpha, beta := float64(c.n.float("alpha", 1e-4)), float64(c.n.float("beta", 0.75))
	k, width, ch := float64(c.n.float("bias", 1)), c.n.int("size", 1), x.shape[1]
	if width < 1 {
		c.fail("size %d", width)
	}
	c.spend(len(x.f), min(width, ch), workElement)
	out, base := c.float(x.shape, true), c.numbers(len(x.f)) // base: k + α/size·Σx²
	span := func(q int) (int, int) { return max(0, q-(width-1)/2), min(ch, q+width/2+1) }
	for i := 0; i < len(x.f); i += ch {
		row := x.f[i : i+ch]
		for q, v := range row {
			lo, hi := span(q)
			s := 0.0
			for _, u := range row[lo:hi] {
				s += float64(u) * float64(u)
			}
			b := k + alpha/float64(width)*s
			base[i+q] = float32(b)
			out.f[i+q] = float32(float64(v) / math.Pow(b, beta))
		}
	}
	c.record(out, func() {
		c.spend(len(x.f), min(width, ch), workElement)
		d := c.spare(len(x.f))
		clear(d)
		for i := 0; i < len(x.f); i += ch {
			for q := range ch {
				b, g := float64(base[i+q]), float64(out.d[i+q])
				d[i+q] += float32(g / math.Pow(b, beta))
				lo, hi := span(q)
				t := -2 * alpha * beta / float64(width) * g * float64(out.f[i+q]) / b
				for u := lo; u < hi; u++ {
					d[i+u] += float32(t * float64(x.f[i+u]))
				}
			}
		}
		c.pass(x, d)
	}, x)
	return []*value{out}
}

// lpNormalization divides rows along an axis by their length: the sum of
// magnitudes or the root of the sum of squares. Rows of zeros stay.
func lpNormalization(c *call) []*value {
	x := c.plain(c.x(0))
	rank := len(x.shape)
	axis := c.axisOf(c.n.int("axis", -1), rank)
	p := map[int]string{1: "ReduceL1", 2: "ReduceL2"}[c.n.int("p", 2)]
	if p == "" {
		c.fail("p %d, want 1 or 2", c.n.int("p", 2))
	}
	if x.shape[axis] == 0 {
		return []*value{x}
	}
	length := c.each(c.reduced(x, map[int]bool{axis: true}, true, reductions()[p]), nonZero())
	return []*value{c.combine(x, length, div())}
}

// nonZero puts 1 in the place of 0.
func nonZero() unary {
	return unary{
		func(v float32) float32 { return pick(v == 0, 1, v) },
		func(v, _ float32) float32 { return pick[float32](v == 0, 0, 1) },
	}
}

// rmsNormalization divides by the root of the mean square over the axes from
// axis on.
func rmsNormalization(c *call) []*value {
	x := c.plain(c.x(0))
	gone := map[int]bool{}
	for a := c.axisOf(c.n.int("axis", -1), len(x.shape)); a < len(x.shape); a++ {
		gone[a] = true
	}
	eps := float64(c.n.float("epsilon", 1e-5))
	square := c.each(x, unary{func(x float32) float32 { return x * x }, func(x, _ float32) float32 { return 2 * x }})
	root := c.each(c.reduced(square, gone, true, reductions()["ReduceMean"]), doubled(
		func(v float64) float64 { return 1 / math.Sqrt(v+eps) },
		func(_, y float64) float64 { return -0.5 * y * y * y }))
	return []*value{c.combine(c.combine(x, root, mul()), c.x(1), mul())}
}
