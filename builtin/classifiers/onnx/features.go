package onnx

import "slices"

// Operators of ai.onnx.ml that prepare features.

// arrayFeatureExtractor takes columns: the places of the last dimension that
// input 1 names. A vector counts as one row.
func arrayFeatureExtractor(c *call) []*value {
	x := c.any(0)
	if len(x.shape) == 0 {
		c.fail("input has no dimension")
	}
	if len(x.shape) == 1 {
		x = c.view(x, []int{1, x.shape[0]})
	}
	axis := len(x.shape) - 1
	idx := c.integers(1)
	for _, k := range idx {
		if k < 0 || k >= x.shape[axis] {
			c.fail("feature %d of %d", k, x.shape[axis])
		}
	}
	return []*value{c.gather(c.plain(x), axis, idx, 0)}
}

// imputer puts a number per column, or one for all, in the place of a value
// that stands for missing ones, NaN as a rule.
func imputer(c *call) []*value {
	x := c.any(0)
	if x.kind != float {
		return []*value{c.imputeWhole(x)}
	}
	x = c.plain(x)
	fill, missing := c.n.attrs["imputed_value_floats"].floats, c.n.float("replaced_value_float", 0)
	c.perColumn(x, len(fill))
	gone := func(v float32) bool { return v == missing || v != v && missing != missing }
	out := c.float(x.shape, false)
	for i, v := range x.f {
		if out.f[i] = v; gone(v) {
			out.f[i] = fill[i%len(fill)]
		}
	}
	c.record(out, func() {
		for i, v := range x.f {
			if gone(v) {
				out.d[i] = 0
			}
		}
		c.pass(x, out.d)
	}, x)
	return []*value{out}
}

func (c *call) imputeWhole(x *value) *value {
	fill, missing := c.n.attrs["imputed_value_int64s"].ints, int64(c.n.int("replaced_value_int64", 0))
	c.perColumn(x, len(fill))
	out := c.like(x, x.shape, false)
	for i, v := range x.i {
		out.i[i] = pick(v == missing, fill[i%len(fill)], v)
	}
	return out
}

// perColumn wants one number or one for each place of x's last dimension.
func (c *call) perColumn(x *value, numbers int) {
	if numbers != 1 && (numbers == 0 || len(x.shape) == 0 || x.shape[len(x.shape)-1] != numbers) {
		c.fail("has %d numbers for an input of shape %v", numbers, x.shape)
	}
}

// binarizer is 1 above a threshold, else 0. It has no gradient.
func binarizer(c *call) []*value {
	x := c.toFloat(c.any(0))
	threshold := c.n.float("threshold", 0)
	out := c.float(x.shape, x.last)
	for i, v := range x.f {
		out.f[i] = pick[float32](v > threshold, 1, 0)
	}
	return []*value{out}
}

// featureVectorizer joins columns.
func featureVectorizer(c *call) []*value {
	in := fresh[*value](&c.room, len(c.in))
	for i := range in {
		if in[i] = c.toFloat(c.any(i)); len(in[i].shape) == 1 {
			in[i] = c.view(in[i], []int{1, in[i].shape[0]})
		}
	}
	n := &node{op: c.n.op, name: c.n.name, domain: c.n.domain, attrs: map[string]attr{"axis": {i: 1}}}
	return concat(&call{run: c.run, n: n, in: in})
}

// oneHotEncoder puts a row of zeros, with 1 at its category, in the place of
// each number. It has no gradient.
func oneHotEncoder(c *call) []*value {
	x := c.plain(c.any(0))
	categories := c.n.attrs["cats_int64s"].ints
	if len(categories) == 0 {
		c.fail("has no categories that are numbers: strings are not supported")
	}
	x = c.toKind(x, integer)
	out := c.float(append(slices.Clone(x.shape), len(categories)), false)
	clear(out.f)
	c.claim(len(categories), bytesEntry)
	at := map[int64]int{}
	for i, k := range categories {
		at[k] = i
	}
	for i, v := range x.i {
		if k, ok := at[v]; ok {
			out.f[i*len(categories)+k] = 1
		} else if c.n.int("zeros", 1) == 0 {
			c.fail("%d is not one of its categories", v)
		}
	}
	return []*value{out}
}

// labelEncoder puts other numbers in the place of numbers. It has no gradient.
func labelEncoder(c *call) []*value {
	x := c.plain(c.any(0))
	keys, values, fallback := c.table("keys_", x.kind), c.table("values_", opaque), c.fallback()
	if size(keys.shape) != size(values.shape) || size(keys.shape) == 0 {
		c.fail("has %d keys and %d values that are numbers of the input's type: strings are not supported", size(keys.shape), size(values.shape))
	}
	c.claim(size(keys.shape), bytesEntry)
	at, missing := map[float64]int{}, -1
	for i := range size(keys.shape) {
		k := keys.number(i)
		if k != k {
			missing = i
		} else if _, twice := at[k]; !twice {
			at[k] = i
		}
	}
	out := c.like(values, x.shape, false)
	for i := range size(x.shape) {
		k, ok := at[x.number(i)]
		if v := x.number(i); v != v && missing >= 0 {
			k, ok = missing, true
		}
		switch {
		case values.kind == float && ok:
			out.f[i] = values.f[k]
		case values.kind == float:
			out.f[i] = float32(fallback)
		case ok:
			out.i[i] = values.i[k]
		default:
			out.i[i] = int64(fallback)
		}
	}
	return []*value{out}
}

func (v *value) number(i int) float64 {
	if v.kind == float {
		return float64(v.f[i])
	}
	return float64(v.i[i])
}

// table reads a list of numbers of a kind, or of any, in one of the attributes
// with a prefix.
func (c *call) table(prefix string, k kind) *value {
	a := c.n.attrs
	if t := a[prefix+"tensor"].t; t != nil && (k == opaque || t.kind == k) && t.kind != opaque {
		return t
	}
	if f := a[prefix+"floats"].floats; f != nil && k != integer {
		return &value{kind: float, shape: []int{len(f)}, f: f}
	}
	if i := a[prefix+"int64s"].ints; i != nil && k != float {
		return &value{kind: integer, shape: []int{len(i)}, i: i}
	}
	return &value{kind: float, shape: []int{0}}
}

// fallback is the value of numbers that are not among the keys.
func (c *call) fallback() float64 {
	a := c.n.attrs
	if t := a["default_tensor"].t; t != nil && t.kind != opaque && size(t.shape) == 1 {
		return t.number(0)
	}
	if has(a, "values_floats") {
		return float64(c.n.float("default_float", 0))
	}
	return float64(c.n.int("default_int64", -1))
}
