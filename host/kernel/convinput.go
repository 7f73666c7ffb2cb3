package kernel

// ConvInput computes dx (n, H, W, C) from dy (n, OH, OW, F): the gradient at
// the input. With the roles of input and output swapped it is the forward
// pass of a transposed convolution, which is why it takes an epilogue.
func (e *Engine) ConvInput(dx, dy, w []float32, n int, g Conv, ep Epilogue) {
	g.check()
	if n < 0 || len(dy) != n*g.out() || len(dx) != n*g.in() || len(w) != g.depth()*g.F {
		panic("kernel: ConvInput: wrong length")
	}
	if len(dx) == 0 {
		return
	}
	ep.check(g.C, len(dx))
	k := g.depth()
	if g.pointwise() {
		e.Gemm(dx, g.C, Dense(dy, n*g.OH*g.OW, g.F), Dense(w, g.C, g.F).T(), ep)
		return
	}
	c := &e.conv
	*c = convJob{g: g, y: dx, dy: dy, n: n, ep: ep}
	c.packed = e.sharedRoom(g.F * roundUp(k, e.ops.nr))
	e.packAll(c.packed, Dense(w, k, g.F).T())
	e.job.run = convScatter
	e.do(n, 1)
	*c = convJob{}
}

// convScatter does images [lo, hi): the products of each block of output
// pixels with the whole kernel, added where the pixels read.
func convScatter(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	g := c.g
	k, pixels := g.depth(), g.OH*g.OW
	ld := k + 16
	var plain Epilogue
	cols := e.room(worker, blockM*ld)
	for i := lo; i < hi; i++ {
		dx := c.y[i*g.in():][:g.in()]
		if !c.ep.Accumulate {
			clear(dx)
		}
		for p := 0; p < pixels; p += blockM {
			mc := min(blockM, pixels-p)
			dy := c.dy[i*g.out()+p*g.F:]
			for q := 0; q < g.F || q == 0; q += blockK {
				kc := min(blockK, g.F-q)
				e.slab(mc, k, kc, view{tail(dy, q), g.F, 1}, tail(c.packed, q*e.ops.nr), g.F, cols, ld, &plain, q == 0, q+kc == g.F)
			}
			g.scatter(dx, cols, ld, p, p+mc)
		}
		e.afterAdd(c.y, i*g.in(), (i+1)*g.in(), g.C, &c.ep)
	}
}

// scatter adds the columns of output pixels [p0, p1) of one image to dx.
func (g Conv) scatter(dx, cols []float32, ld, p0, p1 int) {
	run := g.KW * g.C
	for p := p0; p < p1; p++ {
		oy, ox := p/g.OW, p%g.OW
		left := ox*g.SW - g.Left
		a := min(run, max(0, -left)*g.C)
		b := max(a, min(run, (g.W-left)*g.C))
		for kh := range g.KH {
			iy := oy*g.SH - g.Top + kh
			if iy < 0 || iy >= g.H || a == b {
				continue
			}
			d := dx[(iy*g.W+left)*g.C+a:][:b-a]
			for q, v := range cols[(p-p0)*ld+kh*run+a:][:b-a] {
				d[q] += v
			}
		}
	}
}

// afterAdd is the epilogue of whole rows of c numbers at y[lo:hi].
func (e *Engine) afterAdd(y []float32, lo, hi, c int, ep *Epilogue) {
	if ep.Bias != nil {
		for i := lo; i < hi; i += c {
			row := y[i : i+c]
			for j, v := range ep.Bias {
				row[j] += v
			}
		}
	}
	if ep.Pre == nil && ep.Act.Kind == Linear {
		return
	}
	e.finishRun(y, lo, hi, ep)
}
