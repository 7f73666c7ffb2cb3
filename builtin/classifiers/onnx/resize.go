package onnx

import "math"

// tap is a share of one input place in an output place.
type tap struct {
	at int
	w  float32
}

// resize resamples a tensor along its axes: nearest, linear or cubic.
func resize(c *call) []*value {
	v := c.any(0)
	if mode := c.n.text("mode", "nearest"); v.kind == integer && mode != "nearest" { // mixed as floats, then cut off
		in := append([]*value{c.toFloat(v)}, c.in[1:]...)
		y := resize(&call{run: c.run, n: c.n, in: in})[0]
		return []*value{c.toElem(c.asWhole(y), v.elem)}
	}
	rank := len(v.shape)
	scaleIn, sizeIn := 2, 3
	if c.old() {
		scaleIn = 1
	}
	axes := c.n.ints("axes")
	if axes == nil {
		axes = count(rank)
	}
	c.axesOf(axes, rank)
	scales, sizes := c.resizeTo(axes, scaleIn, sizeIn)
	mode := c.n.text("mode", "nearest")
	for i, a := range axes {
		a = c.axisOf(a, rank)
		if v.shape[a] < 1 || sizes[i] < 1 || sizes[i] > 1<<24 {
			c.fail("resizes dimension %d to %d", v.shape[a], sizes[i])
		}
		if sizes[i] == v.shape[a] && scales[i] == 1 {
			continue
		}
		if scales[i] < 1 && c.n.int("antialias", 0) != 0 {
			c.fail("antialias is not supported")
		}
		at := c.coordinates(v.shape[a], sizes[i], float64(scales[i]))
		switch mode {
		case "nearest":
			v = c.gather(v, a, c.nearest(at, v.shape[a]), 0)
		case "linear", "cubic":
			v = c.mixed(v, a, c.taps(at, v.shape[a], mode == "cubic"))
		default:
			c.fail("mode %q", mode)
		}
	}
	return []*value{v}
}

// resizeTo are the scale and the output's size of each axis.
func (c *call) resizeTo(axes []int, scaleIn, sizeIn int) (scales []float32, sizes []int) {
	shape := c.any(0).shape
	if c.n.text("keep_aspect_ratio_policy", "stretch") != "stretch" {
		c.fail("keep_aspect_ratio_policy is not supported")
	}
	if c.has(sizeIn) && len(c.integers(sizeIn)) > 0 {
		sizes = c.integers(sizeIn)
		if len(sizes) != len(axes) {
			c.fail("has sizes %v for %d axes", sizes, len(axes))
		}
		for i, a := range axes {
			scales = append(scales, float32(sizes[i])/float32(shape[c.axisOf(a, len(shape))]))
		}
		return scales, sizes
	}
	if scales = c.n.attrs["scales"].floats; scales == nil { // an attribute before opset 9
		scales = c.weights(scaleIn).f
	}
	if len(scales) != len(axes) {
		c.fail("has scales %v for %d axes", scales, len(axes))
	}
	for i, a := range axes {
		n := math.Floor(float64(shape[c.axisOf(a, len(shape))]) * float64(scales[i]))
		if !(n >= 1 && n < 1<<24) {
			c.fail("has scales %v for shape %v", scales, shape)
		}
		sizes = append(sizes, int(n))
	}
	return scales, sizes
}

// coordinates are the places in the input that output places look at.
func (c *call) coordinates(in, out int, scale float64) []float64 {
	mode := c.n.text("coordinate_transformation_mode", "half_pixel")
	if c.old() {
		mode = "asymmetric"
	}
	length := float64(in) * scale // of the output, not rounded: so the standard's cases have it
	if math.Abs(length-float64(out)) < 1e-3 {
		length = float64(out)
	}
	at := fresh[float64](&c.room, out)
	for i := range at {
		x := float64(i)
		switch mode {
		case "half_pixel":
			at[i] = (x+0.5)/scale - 0.5
		case "half_pixel_symmetric":
			adjust := float64(out) / (scale * float64(in))
			at[i] = float64(in)/2*(1-adjust) + (x+0.5)/scale - 0.5
		case "pytorch_half_pixel":
			if out > 1 {
				at[i] = (x+0.5)/scale - 0.5
			}
		case "align_corners":
			if out > 1 {
				at[i] = x * float64(in-1) / (length - 1)
			}
		case "asymmetric":
			at[i] = x / scale
		case "tf_half_pixel_for_nn":
			at[i] = (x + 0.5) / scale
		default:
			c.fail("coordinate_transformation_mode %q is not supported", mode)
		}
	}
	return at
}

// nearest rounds places as nearest_mode says.
func (c *call) nearest(at []float64, n int) []int {
	mode := c.n.text("nearest_mode", "round_prefer_floor")
	if c.old() {
		mode = "floor"
	}
	idx := fresh[int](&c.room, len(at))
	for i, x := range at {
		switch mode {
		case "round_prefer_floor":
			x = math.Ceil(x - 0.5)
		case "round_prefer_ceil":
			x = math.Floor(x + 0.5)
		case "ceil":
			x = math.Ceil(x)
		case "floor":
			x = math.Floor(x)
		default:
			c.fail("nearest_mode %q", mode)
		}
		idx[i] = int(min(max(x, 0), float64(n-1)))
	}
	return idx
}

// taps are the shares of neighbours at each place; places outside count as the
// edge, or with exclude_outside not at all.
func (c *call) taps(at []float64, n int, cubic bool) [][]tap {
	a, exclude := float64(c.n.float("cubic_coeff_a", -0.75)), c.n.int("exclude_outside", 0) != 0
	out, all := fresh[[]tap](&c.room, len(at)), fresh[tap](&c.room, 4*len(at))
	for i, x := range at {
		x0 := math.Floor(x)
		t := x - x0
		ws, first := []float64{1 - t, t}, int(x0)
		if cubic {
			first--
			u := 1 - t
			ws = []float64{
				((a*(t+1)-5*a)*(t+1)+8*a)*(t+1) - 4*a,
				((a+2)*t-(a+3))*t*t + 1,
				((a+2)*u-(a+3))*u*u + 1,
				((a*(u+1)-5*a)*(u+1)+8*a)*(u+1) - 4*a,
			}
		}
		sum := 0.0
		out[i] = all[4*i : 4*i : 4*i+4]
		for k, w := range ws {
			if p := first + k; !exclude || p >= 0 && p < n {
				sum += w
				out[i] = append(out[i], tap{min(max(p, 0), n-1), float32(w)})
			}
		}
		if exclude {
			for k := range out[i] {
				out[i][k].w /= float32(sum)
			}
		}
	}
	return out
}

// mixed makes each block along an axis of shares of others.
func (r *run) mixed(v *value, axis int, taps [][]tap) *value {
	out := r.float(v.with(axis, len(taps)), v.last)
	outer, length, inner := v.along(axis)
	clear(out.f)
	for o := range outer {
		for k, ts := range taps {
			for _, t := range ts {
				blend(out.f[(o*len(taps)+k)*inner:][:inner], v.f[(o*length+t.at)*inner:][:inner], t.w)
			}
		}
	}
	r.record(out, func() {
		d := r.spare(len(v.f))
		clear(d)
		for o := range outer {
			for k, ts := range taps {
				for _, t := range ts {
					blend(d[(o*length+t.at)*inner:][:inner], out.d[(o*len(taps)+k)*inner:][:inner], t.w)
				}
			}
		}
		r.pass(v, d)
	}, v)
	return out
}

// old reports the operator before opset 11: Upsample, and Resize like it.
func (c *call) old() bool { return c.n.op == "Upsample" || c.n.version == 10 }
