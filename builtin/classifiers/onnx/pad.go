package onnx

// pad puts numbers around a tensor: constant, reflect, edge or wrap.
func pad(c *call) []*value {
	v := c.any(0)
	rank := len(v.shape)
	pads, _ := c.list("pads", 1)
	axes := count(rank)
	if c.has(3) {
		axes = c.integers(3)
		c.axesOf(axes, rank)
	}
	if len(pads) != 2*len(axes) {
		c.fail("has %d pads for %d axes", len(pads), len(axes))
	}
	fill := c.n.float("value", 0)
	if c.has(2) {
		if f := c.one(2); f.kind == float {
			fill = f.f[0]
		} else {
			fill = float32(f.i[0])
		}
	}
	mode := c.n.text("mode", "constant")
	for i, a := range axes {
		a = c.axisOf(a, rank)
		before, after := pads[i], pads[len(axes)+i]
		if before == 0 && after == 0 {
			continue
		}
		d := v.shape[a]
		if n := d + before + after; before > maxNumbers || after > maxNumbers || before < -maxNumbers || after < -maxNumbers || n < 0 || n > maxNumbers {
			c.fail("pads dimension %d by %d and %d", d, before, after)
		}
		idx := fresh[int](&c.room, d+before+after)
		for k := range idx {
			idx[k] = padded(k-before, d, mode)
			if idx[k] < -1 || idx[k] < 0 && mode != "constant" {
				c.fail("cannot pad dimension %d by %d and %d in mode %q", d, before, after, mode)
			}
		}
		v = c.gather(v, a, idx, fill)
	}
	return []*value{v}
}

// padded is where place k, which may be outside [0, n), takes its number from.
func padded(k, n int, mode string) int {
	if k >= 0 && k < n {
		return k
	}
	switch mode {
	case "constant":
		return -1
	case "edge":
		return min(max(k, 0), n-1)
	case "wrap":
		if n > 0 {
			return (k%n + n) % n
		}
	case "reflect":
		if n == 1 {
			return 0
		}
		if n > 1 {
			k = (k%(2*n-2) + 2*n - 2) % (2*n - 2)
			return min(k, 2*n-2-k)
		}
	}
	return -2
}
