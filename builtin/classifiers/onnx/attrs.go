package onnx

// Attributes of a node, with the defaults of the standard.

func (n *node) int(name string, otherwise int) int {
	if a, ok := n.attrs[name]; ok {
		return int(a.i)
	}
	return otherwise
}

func (n *node) float(name string, otherwise float32) float32 {
	if a, ok := n.attrs[name]; ok {
		return a.f
	}
	return otherwise
}

func (n *node) text(name, otherwise string) string {
	if a, ok := n.attrs[name]; ok {
		return a.s
	}
	return otherwise
}

// ints is nil if the attribute is missing.
func (n *node) ints(name string) []int {
	a, ok := n.attrs[name]
	if !ok {
		return nil
	}
	out := make([]int, len(a.ints))
	for i, v := range a.ints {
		out[i] = int(v)
	}
	return out
}

// has reports whether an input is given.
func (c *call) has(i int) bool { return i < len(c.in) && c.in[i] != nil }

// any is an input of any kind.
func (c *call) any(i int) *value {
	if !c.has(i) {
		c.fail("its input %d is missing", i)
	}
	return c.in[i]
}

// x is a float input.
func (c *call) x(i int) *value {
	v := c.any(i)
	if v.kind != float {
		c.fail("its input %d holds integers, want floats", i)
	}
	return v
}

// weights is a float input that does not depend on the model's input, in the
// order of its shape.
func (c *call) weights(i int) *value {
	v := c.x(i)
	if v.diff {
		c.fail("its input %d depends on the model's input: only constants are supported there", i)
	}
	return c.plain(v)
}

// integers is an input of whole numbers that shapes are made from.
func (c *call) integers(i int) []int {
	v := c.any(i)
	if v.kind == float {
		c.fail("its input %d holds floats, want integers", i)
	}
	out := fresh[int](&c.room, len(v.i))
	for k, x := range v.i {
		out[k] = int(max(min(x, 1<<40), -1<<40)) // ends of slices may be the largest integer
	}
	return out
}

// list is an attribute of integers in old opsets, an input in new ones; ok is
// false if it is in neither.
func (c *call) list(name string, input int) (list []int, ok bool) {
	if c.has(input) {
		return c.integers(input), true
	}
	list = c.n.ints(name)
	return list, list != nil
}

// axisOf checks an axis of a tensor of the given rank and makes it positive.
func (c *call) axisOf(a, rank int) int {
	if a < -rank || a >= rank {
		c.fail("axis %d of a tensor of %d dimensions", a, rank)
	}
	if a < 0 {
		a += rank
	}
	return a
}

// axesOf does so for several, each at most once.
func (c *call) axesOf(axes []int, rank int) map[int]bool {
	out := map[int]bool{}
	for _, a := range axes {
		a = c.axisOf(a, rank)
		if out[a] {
			c.fail("axis %d is named twice", a)
		}
		out[a] = true
	}
	return out
}
