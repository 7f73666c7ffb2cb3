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
	if g.pointwise() {
		e.Gemm(dx, g.C, Dense(dy, n*g.OH*g.OW, g.F), Dense(w, g.C, g.F).T(), ep)
		return
	}
	c := &e.conv
	c.g, c.y, c.dy, c.w, c.n, c.ep, c.filters = g, dx, dy, w, n, ep, g.F
	f := g.inputForm(e.formLevel(), e.half.on)
	if f != byColumns && e.few {
		c.x, c.dy = dy, nil
		c.few = fewJob{back: true, h: g.OH, w: g.OW, c: g.F, dh: g.H, dw: g.W, dc: g.C, sh: g.SH, sw: g.SW}
		e.fewChannels(f)
		*c = convJob{}
		return
	}
	if e.half.on {
		c.dy, c.g.F = e.pixels(dy, n*g.OH*g.OW, g.F), e.half.units(g.F)
	}
	if g.scatters() {
		e.inputByScatter()
	} else {
		e.inputByPhases()
	}
	*c = convJob{}
}

// scatters reports whether adding up products with the whole kernel is
// cheaper than phases: so it is when C is far from filling a vector. It looks
// at the geometry alone, so that bits do not depend on the batch.
func (g *Conv) scatters() bool {
	const vector, add = 16, 24 // an addition of the scatter costs that many multiply-adds
	positions := g.KH * g.KW
	return roundUp(positions*g.C, vector)*g.F+positions*g.C*add < positions*roundUp(g.C, vector)*g.F
}

// inputByScatter multiplies the output's pixels with the whole kernel and adds
// the products where the pixels read: im2col backwards.
func (e *Engine) inputByScatter() {
	c := &e.conv
	k := c.g.depth()
	c.packed = e.sharedRoom(c.g.F * roundUp(k, e.ops.nr))
	e.packAll(c.packed, Dense(c.w, k, c.filters).T())
	e.job.run = convScatter
	e.do(c.n, 1)
}

// convScatter does images [lo, hi), some output rows at a time.
func convScatter(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	g := &c.g
	k := g.depth()
	ld := roundUp(k, 16) + 16
	height := min(max(1, blockM/max(1, g.OW)), max(1, g.OH))
	cols := e.room(worker, height*g.OW*ld)
	var plain Epilogue
	for i := lo; i < hi; i++ {
		dx := c.y[i*g.in():][:g.in()]
		if !c.ep.Accumulate {
			clear(dx)
		}
		for oy := 0; oy < g.OH && g.OW > 0; oy += height {
			h := min(height, g.OH-oy)
			dy := c.dy[i*g.out()+oy*g.OW*g.F:]
			for q := 0; q < g.F || q == 0; q += blockK {
				kc := min(blockK, g.F-q)
				e.slab(h*g.OW, k, kc, view{tail(dy, q), g.F, 1}, tail(c.packed, q*e.ops.nr), g.F, cols, ld, &plain, q == 0, q+kc == g.F, e.fetcher(worker))
			}
			for r := range h {
				g.scatter(e.level, dx, cols[r*g.OW*ld:], ld, oy+r)
			}
		}
		e.afterAdd(c.y, i*g.in(), (i+1)*g.in(), g.C, &c.ep)
	}
}

// A phase is the input pixels at one place within the strides: what they
// receive is a convolution of stride 1 over dy, its window turned round.
type phase struct {
	conv   Conv // from dy to the phase's pixels
	y, x   int  // first pixel
	py, px int  // first kernel row and column
}

// phase is number i of SH·SW; without pixels its conv has OH or OW 0.
func (g *Conv) phase(i int) phase {
	ph := phase{py: i / g.SW, px: i % g.SW}
	ph.y = mod(ph.py-g.Top, g.SH)
	ph.x = mod(ph.px-g.Left, g.SW)
	th, tw := (g.KH-ph.py+g.SH-1)/g.SH, (g.KW-ph.px+g.SW-1)/g.SW
	th, tw = max(0, th), max(0, tw)
	ph.conv = Conv{
		H: g.OH, W: g.OW, C: g.F, F: g.C, KH: th, KW: tw, SH: 1, SW: 1,
		OH: (g.H - ph.y + g.SH - 1) / g.SH, OW: (g.W - ph.x + g.SW - 1) / g.SW,
		Top: th - 1 - (ph.y+g.Top-ph.py)/g.SH, Left: tw - 1 - (ph.x+g.Left-ph.px)/g.SW,
	}
	ph.conv.OH, ph.conv.OW = max(0, ph.conv.OH), max(0, ph.conv.OW)
	return ph
}

func mod(a, m int) int { return ((a % m) + m) % m }

// inputByPhases does each phase as a product over blocks of columns of dy.
func (e *Engine) inputByPhases() {
	c := &e.conv
	g := &c.g
	c.packed = e.sharedRoom(g.KH * g.KW * g.F * roundUp(g.C, e.ops.nr))
	e.job.run = packPhases
	e.do(g.KH*g.KW, max(1, packGrain/max(1, g.F*g.C)))
	c.rowStep = e.rowStep(c.n*((g.H+g.SH-1)/g.SH)*((g.W+g.SW-1)/g.SW), g.F*g.C*g.KH*g.KW/(g.SH*g.SW))
	tasks := 0
	for i := range g.SH * g.SW {
		ph := g.phase(i).conv
		tasks += (c.n*ph.OH*ph.OW + c.rowStep - 1) / c.rowStep
	}
	e.job.run = convPhases
	e.do(tasks, 1)
	if c.ep.Pre != nil || c.ep.Act.Kind != Linear && c.ep.Act.Kind != ReLU {
		e.job.run = convFinish
		e.do(c.n*g.H*g.W, 1+mapGrain/g.C)
	}
}

// packPhases packs kernel positions [lo, hi), each as F rows of C columns, to
// its place in its phase's panels.
func packPhases(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	g := &c.g
	for t := lo; t < hi; t++ {
		kh, kw := t/g.KW, t%g.KW
		i := kh%g.SH*g.SW + kw%g.SW
		ph := g.phase(i)
		a, b := ph.conv.KH-1-kh/g.SH, ph.conv.KW-1-kw/g.SW
		d := c.packed[g.phaseOffset(i)*g.F*roundUp(g.C, e.ops.nr):]
		d = tail(d, (a*ph.conv.KW+b)*g.F*e.ops.nr)
		e.pack(worker, d, Matrix{c.w[t*g.C*c.filters:], c.filters, g.C, 1, c.filters}, 0, c.filters, 0, g.C, ph.conv.depth())
	}
}

// phaseOffset is the number of kernel positions in the phases before phase i.
func (g *Conv) phaseOffset(i int) int {
	n := 0
	for q := range i {
		ph := g.phase(q).conv
		n += ph.KH * ph.KW
	}
	return n
}

// convPhases does tasks [lo, hi): blocks of pixels, phase by phase.
func convPhases(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	first := 0
	for i := range c.g.SH * c.g.SW {
		ph := c.g.phase(i)
		blocks := (c.n*ph.conv.OH*ph.conv.OW + c.rowStep - 1) / c.rowStep
		for t := max(lo, first); t < min(hi, first+blocks); t++ {
			e.phaseBlock(&ph, i, t-first, worker)
		}
		first += blocks
	}
}

// phaseBlock computes one block of a phase's pixels and puts them in their places.
func (e *Engine) phaseBlock(ph *phase, i, block, worker int) {
	c := &e.conv
	g, s := &c.g, &ph.conv
	m, k := c.n*s.OH*s.OW, s.depth()
	p0 := block * c.rowStep
	p1 := min(m, p0+c.rowStep)
	packed := tail(c.packed, g.phaseOffset(i)*g.F*roundUp(g.C, e.ops.nr))
	ldt := g.C
	room := e.room(worker, blockM*(colsLD+ldt))
	cols, out := room[:blockM*colsLD], room[blockM*colsLD:]
	inPlace := g.SH == 1 && g.SW == 1
	if inPlace {
		out = c.y[p0*g.C:]
	} else if c.ep.Accumulate {
		e.movePhase(ph, out, p0, p1, false)
	}
	for p := 0; p < k || p == 0; p += blockK {
		kc := min(blockK, k-p)
		s.columns(e.level, cols, colsLD, c.dy, p0, p1, p, p+kc)
		e.slab(p1-p0, g.C, kc, view{cols, colsLD, 1}, tail(packed, p*e.ops.nr), k, out, ldt, &c.ep, p == 0, p+kc == k, e.fetcher(worker))
	}
	if !inPlace {
		e.movePhase(ph, out, p0, p1, true)
	}
}

// movePhase copies pixels [p0, p1) of a phase between out and their places in dx.
func (e *Engine) movePhase(ph *phase, out []float32, p0, p1 int, toImage bool) {
	c := &e.conv
	g, s := &c.g, &ph.conv
	for p0 < p1 {
		img, r := p0/(s.OH*s.OW), p0%(s.OH*s.OW)
		q, x := r/s.OW, r%s.OW
		n := min(s.OW-x, p1-p0)
		image := c.y[((img*g.H+q*g.SH+ph.y)*g.W+x*g.SW+ph.x)*g.C:]
		if toImage {
			copyRows(e.level, image, out, g.SW*g.C, g.C, n, g.C)
		} else {
			copyRows(e.level, out, image, g.C, g.SW*g.C, n, g.C)
		}
		out = tail(out, n*g.C)
		p0 += n
	}
}

// convFinish applies what the tiles did not to pixels [lo, hi).
func convFinish(e *Engine, _ *job, _, lo, hi int) {
	c := &e.conv
	e.finishRun(c.y, lo*c.g.C, hi*c.g.C, &c.ep)
}

// afterAdd is the epilogue of whole rows of c numbers at y[lo:hi].
func (e *Engine) afterAdd(y []float32, lo, hi, c int, ep *Epilogue) {
	if ep.Bias != nil {
		for i := lo; i < hi; i += c {
			e.ops.axpy(y[i:i+c], ep.Bias, 1)
		}
	}
	if ep.Pre == nil && ep.Act.Kind == Linear {
		return
	}
	e.finishRun(y, lo, hi, ep)
}
