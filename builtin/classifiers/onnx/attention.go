package onnx

import "math"

// attention is softmax(q·kᵀ·scale + mask)·v, for heads given as a dimension
// (B, H, S, D) or side by side (B, S, H·D); several heads of queries may share
// one of keys and values. It keeps no cache of keys.
func attention(c *call) []*value {
	if c.has(4) || c.has(5) || c.has(6) || c.n.int("qk_matmul_output_mode", 0) != 0 {
		c.fail("has a cache of keys and values, which is not supported")
	}
	aside := len(c.x(0).shape) == 3
	heads := func(i int, attribute string) *value {
		v, n := c.plain(c.x(i)), c.n.int(attribute, 0)
		if !aside {
			if len(v.shape) != 4 {
				c.fail("its input %d has shape %v, want (B, H, S, D)", i, v.shape)
			}
			return v
		}
		if len(v.shape) != 3 || n < 1 || v.shape[2]%n != 0 {
			c.fail("its input %d has shape %v, want (B, S, %d heads)", i, v.shape, n)
		}
		return c.permuted(c.view(v, []int{v.shape[0], v.shape[1], n, v.shape[2] / n}), []int{0, 2, 1, 3})
	}
	q, k, v := heads(0, "q_num_heads"), heads(1, "kv_num_heads"), heads(2, "kv_num_heads")
	if k.shape[1] < 1 || q.shape[1]%k.shape[1] != 0 || v.shape[1] != k.shape[1] || q.shape[3] < 1 || k.shape[2] < 1 {
		c.fail("has queries of shape %v, keys %v and values %v", q.shape, k.shape, v.shape)
	}
	if share := q.shape[1] / k.shape[1]; share > 1 {
		idx := fresh[int](&c.room, q.shape[1])
		for i := range idx {
			idx[i] = i / share
		}
		k, v = c.gather(k, 1, idx, 0), c.gather(v, 1, idx, 0)
	}
	scale := c.n.float("scale", float32(1/math.Sqrt(float64(q.shape[3]))))
	s := c.each(c.product(q, c.permuted(k, []int{0, 1, 3, 2})), scaling(scale))
	if limit := float64(c.n.float("softcap", 0)); limit > 0 {
		s = c.each(s, doubled(
			func(x float64) float64 { return limit * math.Tanh(x/limit) },
			func(_, y float64) float64 { return 1 - y*y/(limit*limit) }))
	}
	if c.has(3) {
		s = c.combine(s, c.added(c.any(3)), add())
	}
	if c.n.int("is_causal", 0) != 0 {
		s = c.combine(s, c.causal(s.shape[2], s.shape[3]), add())
	}
	y := c.product(c.softmax(c.plain(s), s.shape[3]), v)
	if aside {
		y = c.permuted(y, []int{0, 2, 1, 3})
		y = c.view(y, []int{y.shape[0], y.shape[1], y.shape[2] * y.shape[3]})
	}
	return []*value{y}
}

// added is a mask as what is added to scores: −∞ where it is false.
func (c *call) added(mask *value) *value {
	if mask.kind == float {
		return mask
	}
	out := c.float(mask.shape, false)
	for i, v := range mask.i {
		out.f[i] = pick(v != 0, 0, float32(math.Inf(-1)))
	}
	return out
}

// causal hides what comes later: query i sees keys up to i.
func (c *call) causal(queries, keys int) *value {
	out := c.zeros([]int{queries, keys})
	for i := range out.f {
		if i%keys > i/keys {
			out.f[i] = float32(math.Inf(-1))
		}
	}
	return out
}
