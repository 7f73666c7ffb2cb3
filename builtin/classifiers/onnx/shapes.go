package onnx

import (
	"math"
	"slices"
)

// identity passes its input on: Identity, Dropout in inference.
func identity(c *call) []*value {
	if c.n.op == "Dropout" && c.has(2) && slices.Contains(c.integers(2), 1) {
		c.fail("is in training mode: export the model in evaluation mode")
	}
	v := c.any(0)
	if len(c.n.out) < 2 {
		return []*value{v}
	}
	mask := c.truths(v.shape) // nothing is dropped
	for i := range mask.i {
		mask.i[i] = 1
	}
	return []*value{v, mask}
}

func reshape(c *call) []*value {
	v := c.any(0)
	want := c.unbound(v, c.integers(1))
	zero := c.n.int("allowzero", 0) != 0
	if len(want) > maxRank {
		c.fail("gives %d dimensions, want at most %d", len(want), maxRank)
	}
	shape, free, n := make([]int, len(want)), -1, 1
	for i, d := range want {
		switch {
		case d == -1 && free < 0:
			free = i
			continue
		case d == 0 && !zero && i < len(v.shape):
			d = v.shape[i]
		case d < 0 || d == 0 && !zero || d > maxNumbers:
			c.fail("cannot turn shape %v into %v", v.shape, want)
		}
		shape[i] = d
		if n *= d; n > maxNumbers {
			c.fail("cannot turn shape %v into %v", v.shape, want)
		}
	}
	if free >= 0 {
		if n == 0 || size(v.shape)%n != 0 {
			c.fail("cannot turn shape %v into %v", v.shape, want)
		}
		shape[free] = size(v.shape) / n
	}
	return []*value{c.view(v, shape)}
}

// unbound puts the number of rows in the place of the batch that a reshape was
// exported with, where that is sure to keep rows apart: the first dimension is
// the batch before, and the others have as many numbers before as after.
func (c *call) unbound(v *value, want []int) []int {
	if c.loose == 0 || !v.diff || len(want) == 0 || len(v.shape) == 0 || want[0] != c.loose || v.shape[0] != c.batch || c.batch == c.loose {
		return want
	}
	row, free, n := size(v.shape[1:]), false, 1
	for i, d := range want[1:] {
		switch {
		case d == -1 && !free:
			free = true
			continue
		case d == 0 && c.n.int("allowzero", 0) == 0 && i+1 < len(v.shape):
			d = v.shape[i+1]
		case d < 1 || d > maxNumbers:
			return want
		}
		if n *= d; n < 1 || n > maxNumbers {
			return want
		}
	}
	if row%n != 0 || !free && row != n {
		return want
	}
	out := slices.Clone(want)
	out[0] = c.batch
	return out
}

func flatten(c *call) []*value {
	v := c.any(0)
	axis := c.n.int("axis", 1)
	if axis < 0 {
		axis += len(v.shape)
	}
	if axis < 0 || axis > len(v.shape) {
		c.fail("axis %d of a tensor of %d dimensions", axis, len(v.shape))
	}
	return []*value{c.view(v, []int{size(v.shape[:axis]), size(v.shape[axis:])})}
}

func squeeze(c *call) []*value {
	v := c.any(0)
	axes, ok := c.list("axes", 1)
	gone := c.axesOf(axes, len(v.shape))
	var shape []int
	for a, d := range v.shape {
		if ok && !gone[a] || !ok && d != 1 {
			shape = append(shape, d)
		} else if d != 1 {
			c.fail("dimension %d of shape %v is not 1", a, v.shape)
		}
	}
	return []*value{c.view(v, shape)}
}

func unsqueeze(c *call) []*value {
	v := c.any(0)
	axes, _ := c.list("axes", 1)
	rank := len(v.shape) + len(axes)
	if rank > maxRank {
		c.fail("gives %d dimensions", rank)
	}
	fresh := c.axesOf(axes, rank)
	var shape []int
	rest := v.shape
	for a := range rank {
		if fresh[a] {
			shape = append(shape, 1)
		} else {
			shape, rest = append(shape, rest[0]), rest[1:]
		}
	}
	return []*value{c.view(v, shape)}
}

func expand(c *call) []*value {
	v := c.any(0)
	want := c.integers(1)
	if len(want) > maxRank {
		c.fail("gives %d dimensions, want at most %d", len(want), maxRank)
	}
	for _, d := range want {
		if d < 0 || d > maxNumbers {
			c.fail("expands to shape %v", want)
		}
	}
	shape := c.broadcast(v.shape, want)
	c.mind(shape)
	return []*value{c.expanded(v, shape)}
}

func shapeOf(c *call) []*value {
	s := c.any(0).shape
	rank := len(s)
	at := func(name string, otherwise int) int {
		k := c.n.int(name, otherwise)
		if k < 0 {
			k += rank
		}
		return min(max(k, 0), rank)
	}
	from, to := at("start", 0), at("end", rank)
	out := integers()
	for _, d := range s[min(from, to):to] {
		out.i = append(out.i, int64(d))
	}
	out.shape = []int{len(out.i)}
	return []*value{out}
}

func sizeOf(c *call) []*value {
	return []*value{{kind: integer, shape: []int{}, i: []int64{int64(size(c.any(0).shape))}}}
}

func constant(c *call) []*value {
	a := c.n.attrs
	switch {
	case a["value"].t != nil:
		return []*value{a["value"].t}
	case has(a, "value_float"):
		return []*value{{kind: float, shape: []int{}, f: []float32{a["value_float"].f}}}
	case has(a, "value_int"):
		return []*value{{kind: integer, shape: []int{}, i: []int64{a["value_int"].i}}}
	case has(a, "value_floats"):
		return []*value{{kind: float, shape: []int{len(a["value_floats"].floats)}, f: a["value_floats"].floats}}
	case has(a, "value_ints"):
		return []*value{{kind: integer, shape: []int{len(a["value_ints"].ints)}, i: a["value_ints"].ints}}
	}
	return []*value{{kind: opaque, shape: []int{}}} // strings: an error only where they are used
}

func has(a map[string]attr, name string) bool {
	_, ok := a[name]
	return ok
}

func constantOfShape(c *call) []*value {
	shape := c.integers(0)
	if len(shape) > maxRank {
		c.fail("gives %d dimensions, want at most %d", len(shape), maxRank)
	}
	for _, d := range shape {
		if d < 0 || d > maxNumbers {
			c.fail("wants the shape %v", shape)
		}
	}
	like := c.n.attrs["value"].t
	if like == nil {
		like = &value{kind: float, f: []float32{0}}
	}
	if like.kind == opaque || len(like.f)+len(like.i) != 1 {
		c.fail("its value is not one number")
	}
	out := c.like(like, shape, false)
	for i := range out.f {
		out.f[i] = like.f[0]
	}
	for i := range out.i {
		out.i[i] = like.i[0]
	}
	return []*value{out}
}

// rangeOf counts from a start to a limit.
func rangeOf(c *call) []*value {
	var at [3]float64
	for i := range at {
		if v := c.any(i); size(v.shape) != 1 || v.diff {
			c.fail("its input %d is not one constant number", i)
		} else if v.kind == float {
			at[i] = float64(v.f[0])
		} else {
			at[i] = float64(v.i[0])
		}
	}
	n := math.Ceil((at[1] - at[0]) / at[2])
	if !(n < maxNumbers) {
		c.fail("counts from %v to %v by %v", at[0], at[1], at[2])
	}
	out := c.like(c.any(0), []int{int(max(n, 0))}, false)
	for i := range out.f {
		out.f[i] = float32(at[0] + float64(i)*at[2])
	}
	for i := range out.i {
		out.i[i] = int64(at[0] + float64(i)*at[2])
	}
	return []*value{out}
}

// toFloat is v as floats.
func (r *run) toFloat(v *value) *value {
	if v.kind == float {
		return v
	}
	out := r.float(v.shape, false)
	for i, x := range v.i {
		out.f[i] = float32(x)
	}
	r.record(out, func() { r.pass(v, out.d) }, v)
	return out
}

// toKind is v as another kind; to integers it cuts towards zero and carries no
// gradient.
func (r *run) toKind(v *value, k kind) *value {
	switch {
	case v.kind == k:
		return v
	case k == float:
		return r.toFloat(v)
	}
	v = r.plain(v)
	out := r.like(&value{kind: k}, v.shape, false)
	for i := range out.i {
		switch {
		case v.kind == float && k == boolean:
			out.i[i] = truth(v.f[i] != 0)
		case v.kind == float:
			out.i[i] = int64(v.f[i])
		case k == boolean:
			out.i[i] = truth(v.i[i] != 0)
		default:
			out.i[i] = v.i[i]
		}
	}
	return out
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func cast(c *call) []*value {
	to := int64(c.n.int("to", typeFloat))
	k := kindOf(to)
	if k == opaque {
		c.fail("casts to element type %d, which is not supported", to)
	}
	v := c.any(0)
	if v.kind == float && (to == typeFloat16 || to == typeBfloat16) {
		return []*value{c.each(v, unary{func(x float32) float32 { return half(toHalf(x, to), to) }, func(float32, float32) float32 { return 1 }})}
	}
	y := c.toKind(v, k)
	if k == integer {
		y = c.toElem(y, to)
	}
	return []*value{y}
}

// toHalf rounds to float16 or bfloat16, to even.
func toHalf(x float32, elem int64) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 0x7fff
	}
	if elem == typeBfloat16 {
		return uint16((b + 0x7fff + b>>16&1) >> 16)
	}
	sign, a := uint16(b>>16&0x8000), math.Abs(float64(x))
	switch {
	case a >= 65520:
		return sign | 0x7c00
	case a < 1.0/(1<<14):
		return sign | uint16(math.RoundToEven(a*(1<<24)))
	}
	b &= 0x7fffffff
	return sign | uint16((b+0xfff+b>>13&1)>>13-112<<10)
}

func castLike(c *call) []*value {
	like := c.any(1)
	y := c.toKind(c.any(0), like.kind)
	if like.kind == integer {
		y = c.toElem(y, like.elem)
	}
	return []*value{y}
}

// depthToSpace moves blocks of channels into the image.
func depthToSpace(c *call) []*value {
	v := c.any(0)
	b := c.n.int("blocksize", 1)
	if len(v.shape) != 4 || b < 1 || b > 1<<10 || v.shape[1]%(b*b) != 0 {
		c.fail("blocks of %d in shape %v", b, v.shape)
	}
	n, ch, h, w := v.shape[0], v.shape[1]/(b*b), v.shape[2], v.shape[3]
	if c.n.text("mode", "DCR") == "CRD" {
		v = c.permuted(c.view(v, []int{n, ch, b, b, h, w}), []int{0, 1, 4, 2, 5, 3})
	} else {
		v = c.permuted(c.view(v, []int{n, b, b, ch, h, w}), []int{0, 3, 4, 1, 5, 2})
	}
	return []*value{c.view(v, []int{n, ch, h * b, w * b})}
}

func spaceToDepth(c *call) []*value {
	v := c.any(0)
	b := c.n.int("blocksize", 1)
	if len(v.shape) != 4 || b < 1 || v.shape[2]%b != 0 || v.shape[3]%b != 0 {
		c.fail("blocks of %d in shape %v", b, v.shape)
	}
	n, ch, h, w := v.shape[0], v.shape[1], v.shape[2]/b, v.shape[3]/b
	v = c.permuted(c.view(v, []int{n, ch, h, b, w, b}), []int{0, 3, 5, 1, 2, 4})
	return []*value{c.view(v, []int{n, ch * b * b, h, w})}
}
