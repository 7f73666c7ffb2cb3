package kernel

// Conv is the geometry of a 2-D cross-correlation: an H×W×C input, an
// OH×OW×F output, a kernel laid out (KH, KW, C, F). Output (oy, ox) reads
// input rows oy·SH−Top … and columns ox·SW−Left …; outside is zero.
type Conv struct {
	H, W, C   int
	OH, OW, F int
	KH, KW    int
	SH, SW    int
	Top, Left int
}

func (g Conv) check() {
	if g.H < 0 || g.W < 0 || g.C < 0 || g.OH < 0 || g.OW < 0 || g.F < 0 || g.KH < 0 || g.KW < 0 {
		panic("kernel: Conv: negative size")
	}
	if g.SH < 1 || g.SW < 1 {
		panic("kernel: Conv: stride below 1")
	}
}

func (g Conv) in() int    { return g.H * g.W * g.C }
func (g Conv) out() int   { return g.OH * g.OW * g.F }
func (g Conv) depth() int { return g.KH * g.KW * g.C }

// pointwise reports whether the columns are the input itself.
func (g Conv) pointwise() bool {
	return g.KH == 1 && g.KW == 1 && g.SH == 1 && g.SW == 1 && g.Top == 0 && g.Left == 0 && g.OH == g.H && g.OW == g.W
}

// convJob is the convolution under way.
type convJob struct {
	g        Conv
	x, y, dy []float32
	w        []float32
	n        int
	ep       Epilogue
	packed   []float32
	rowStep  int
	colStep  int
	colTask  int
	few      fewJob
	filters  int // of w, where g counts words
}

// ConvForward computes y (n, OH, OW, F) from x (n, H, W, C).
func (e *Engine) ConvForward(y, x, w []float32, n int, g Conv, ep Epilogue) {
	g.check()
	if n < 0 || len(y) != n*g.out() || len(x) != n*g.in() || len(w) != g.depth()*g.F {
		panic("kernel: ConvForward: wrong length")
	}
	m, k := n*g.OH*g.OW, g.depth()
	if g.pointwise() {
		e.Gemm(y, g.F, Dense(x, m, k), Dense(w, k, g.F), ep)
		return
	}
	if m == 0 || g.F == 0 {
		return
	}
	ep.check(g.F, len(y))
	c := &e.conv
	*c = convJob{g: g, x: x, y: y, w: w, n: n, ep: ep, filters: g.F}
	if f := g.forwardForm(e.formLevel(), e.half.on); f != byColumns && e.few {
		c.few = fewJob{h: g.H, w: g.W, c: g.C, dh: g.OH, dw: g.OW, dc: g.F, sh: 1, sw: 1}
		e.fewChannels(f)
		*c = convJob{}
		return
	}
	if e.half.on {
		c.x, c.g.C = e.pixels(x, n*g.H*g.W, g.C), e.half.units(g.C)
		k = c.g.depth()
		c.packed = e.sharedRoom(k * roundUp(g.F, e.ops.nr))
		e.packTaps(c.packed, w, g.KH*g.KW, g.C, g.F)
		e.blocksForward(m, k)
		return
	}
	if m <= e.ops.direct { // so few pixels that packing w would be the most work
		cols := e.sharedRoom(m * k)
		e.job.run, e.job.y = allColumns, cols
		e.do(m, max(8, packGrain/max(1, k)))
		e.product(y, g.F, Dense(cols, m, k), Dense(w, k, g.F), ep, e.threadsFor(m*k*g.F))
		*c = convJob{}
		return
	}
	c.packed = e.sharedRoom(k * roundUp(g.F, e.ops.nr))
	e.packAll(c.packed, Dense(w, k, g.F))
	e.blocksForward(m, k)
}

// blocksForward multiplies the columns of m pixels with the packed kernel.
func (e *Engine) blocksForward(m, k int) {
	c := &e.conv
	c.rowStep = e.rowStep(m, c.g.F*k)
	e.job.run = convForward
	e.do((m+c.rowStep-1)/c.rowStep, 1)
	*c = convJob{}
}

// allColumns writes the columns of output pixels [lo, hi).
func allColumns(e *Engine, j *job, _, lo, hi int) {
	g := &e.conv.g
	k := g.depth()
	g.columns(e.level, j.y[lo*k:], k, e.conv.x, lo, hi, 0, k)
}

// colsLD is the row stride of a block of columns: not a power of two, so that
// the rows of a tile fall into different cache sets.
const colsLD = blockK + 16

// convForward does blocks [lo, hi) of output pixels: their columns, then the product.
func convForward(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	g := &c.g
	m, k := c.n*g.OH*g.OW, g.depth()
	cols := e.room(worker, blockM*colsLD)
	for t := lo; t < hi; t++ {
		p0 := t * c.rowStep
		p1 := min(m, p0+c.rowStep)
		for p := 0; p < k || p == 0; p += blockK {
			kc := min(blockK, k-p)
			g.columns(e.level, cols, colsLD, c.x, p0, p1, p, p+kc)
			e.slab(p1-p0, g.F, kc, view{cols, colsLD, 1}, tail(c.packed, p*e.ops.nr), k, c.y[p0*g.F:], g.F, &c.ep, p == 0, p+kc == k, e.fetcher(worker))
		}
		e.finish(c.y, g.F, p0, p1, 0, g.F, &c.ep)
	}
}

// ConvKernel computes dw (KH, KW, C, F) summed over the n images.
func (e *Engine) ConvKernel(dw, x, dy []float32, n int, g Conv) {
	g.check()
	if n < 0 || len(dy) != n*g.out() || len(x) != n*g.in() || len(dw) != g.depth()*g.F {
		panic("kernel: ConvKernel: wrong length")
	}
	m, k := n*g.OH*g.OW, g.depth()
	if g.pointwise() {
		e.Gemm(dw, g.F, Dense(x, m, k).T(), Dense(dy, m, g.F), Epilogue{})
		return
	}
	if k == 0 || g.F == 0 {
		return
	}
	c := &e.conv
	*c = convJob{g: g, x: x, dy: dy, y: dw, n: n, filters: g.F}
	if m > 0 && g.kernelForm(e.formLevel(), e.half.on) == byWindows && e.few {
		e.inFloat32(e.kernelWindows)
		*c = convJob{}
		return
	}
	if e.half.on && !e.half.pairs {
		c.x = e.rounded(0, x)
	}
	c.packed = e.sharedRoom(e.half.units(m) * roundUp(g.F, e.ops.nr))
	e.packAll(c.packed, Dense(dy, m, g.F))
	t := e.threadsFor(m * g.F * k)
	blocks := (k + blockM - 1) / blockM
	c.colStep, c.colTask = g.F, 1
	if blocks < t { // too few rows for the threads: cut the columns too
		c.colStep = roundUp((g.F+t-1)/t, e.ops.nr)
		c.colTask = (g.F + c.colStep - 1) / c.colStep
	} else {
		blocks = roundUp(blocks, t)
	}
	c.rowStep = (k + blocks - 1) / blocks
	e.job.run = convKernel
	e.do((k+c.rowStep-1)/c.rowStep*c.colTask, 1)
	*c = convJob{}
}

// convKernel does tasks [lo, hi): blocks of kernel positions, over all pixels in order.
func convKernel(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	g := &c.g
	nr := e.ops.nr
	m, k := e.half.units(c.n*g.OH*g.OW), g.depth()
	ld := blockM + 8
	if e.half.pairs {
		ld = roundUp(blockM, pairPanel)
	}
	cols := e.room(worker, (blockK+pairChunk)*ld)
	for t := lo; t < hi; t++ {
		k0, j0 := t/c.colTask*c.rowStep, t%c.colTask*c.colStep
		k1, j1 := min(k, k0+c.rowStep), min(g.F, j0+c.colStep)
		for p := 0; p < m || p == 0; p += blockK {
			pc := min(blockK, m-p)
			e.kernelColumns(cols, ld, p, p+pc, k0, k1)
			e.slab(k1-k0, j1-j0, pc, view{cols, 1, ld}, tail(c.packed, j0*m+p*nr), m, c.y[k0*g.F+j0:], g.F, &c.ep, p == 0, p+pc == m, e.fetcher(worker))
		}
	}
}

// pairChunk is how many pixels' columns are made before they are paired.
const pairChunk = 64

// kernelColumns writes the entries [k0, k1) of the columns of pixels [p0, p1),
// which are words with bfloat16, pixels ld apart; d has room for a chunk more.
func (e *Engine) kernelColumns(d []float32, ld, p0, p1, k0, k1 int) {
	c := &e.conv
	g := &c.g
	if !e.half.on {
		g.columns(e.level, d, ld, c.x, p0, p1, k0, k1)
		return
	}
	m := c.n * g.OH * g.OW
	if !e.half.pairs { // c.x is rounded
		g.columns(e.level, d, ld, c.x, p0, min(m, p1), k0, k1)
		if p1 > m {
			clear(d[(m-p0)*ld:][:k1-k0])
		}
		return
	}
	chunk := d[blockK*ld:]
	for q := 2 * p0; q < min(m, 2*p1); q += pairChunk {
		end := min(m, 2*p1, q+pairChunk)
		g.columns(e.level, chunk, ld, c.x, q, end, k0, k1)
		pairRows(d[(q/2-p0)*ld:], chunk, ld, end-q, k1-k0, ld, pairPanel)
	}
}
