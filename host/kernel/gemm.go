package kernel

// Matrix is a view: element (i, j) is Data[i*RowStride+j*ColStride].
type Matrix struct {
	Data                 []float32
	Rows, Cols           int
	RowStride, ColStride int
}

// Dense views contiguous row-major data.
func Dense(data []float32, rows, cols int) Matrix {
	return Matrix{Data: data, Rows: rows, Cols: cols, RowStride: cols, ColStride: 1}
}

// T is the transposed view.
func (m Matrix) T() Matrix {
	return Matrix{Data: m.Data, Rows: m.Cols, Cols: m.Rows, RowStride: m.ColStride, ColStride: m.RowStride}
}

func (m Matrix) check() {
	if m.Rows < 0 || m.Cols < 0 || m.RowStride < 0 || m.ColStride < 0 {
		panic("kernel: Gemm: negative size or stride")
	}
	if m.Rows > 0 && m.Cols > 0 && (m.Rows-1)*m.RowStride+(m.Cols-1)*m.ColStride >= len(m.Data) {
		panic("kernel: Gemm: matrix data too short")
	}
}

// Epilogue is what happens to a product's element before it is stored:
// c = act(c_old·Accumulate + Σ + bias[column]).
type Epilogue struct {
	Accumulate bool
	Bias       []float32 // one per column, or nil
	Act        Act
	Pre        []float32 // if not nil: receives the value before Act, same layout as c
}

const (
	blockK = 256 // depth of a block: a panel of B in L1
	blockM = 168 // rows of a block: blockM×blockK of A in L2
)

// gemmJob is the product under way.
type gemmJob struct {
	c       []float32
	ldc     int
	a, b    Matrix
	ep      Epilogue
	rowStep int // rows of a task
	colStep int // columns of a task
	packed  []float32
}

// Gemm computes c = a·b, with c of a.Rows × b.Cols, row stride ldc. A zero
// inner dimension gives zeros (then the epilogue).
func (e *Engine) Gemm(c []float32, ldc int, a, b Matrix, ep Epilogue) {
	a.check()
	b.check()
	m, n, k := a.Rows, b.Cols, a.Cols
	if b.Rows != k {
		panic("kernel: Gemm: inner dimensions differ")
	}
	if m == 0 || n == 0 {
		return
	}
	if ldc < n || (m-1)*ldc+n > len(c) {
		panic("kernel: Gemm: c too short")
	}
	ep.check(n, (m-1)*ldc+n)
	t := e.threadsFor(m * n * k)
	if !e.half.on && t == 1 && b.ColStride == 1 && k <= blockK && k*b.RowStride <= directB && (e.ops.masked || n%e.ops.nr == 0) {
		e.gemmDirect(c, ldc, &a, &b, &ep)
		return
	}
	if b.RowStride == 1 && b.ColStride > 1 && m >= flipFrom && m <= n/4 && m <= k/2 && !ep.Accumulate && !(e.half.on && ep.Bias != nil) {
		e.gemmFlipped(c, ldc, a, b, &ep)
		return
	}
	e.product(c, ldc, a, b, ep, t)
}

// product is Gemm for what is not small.
func (e *Engine) product(c []float32, ldc int, a, b Matrix, ep Epilogue, t int) {
	if e.half.on {
		a = e.words(a)
	}
	m, n, k := a.Rows, b.Cols, a.Cols
	g := &e.gemm
	g.c, g.ldc, g.a, g.b, g.ep = c, ldc, a, b, ep
	if m <= 2*blockM { // few rows: each task packs its own columns
		g.colStep = roundUp((n+t-1)/t, e.ops.nr)
		e.job.run = gemmColumns
		e.do((n+g.colStep-1)/g.colStep, 1)
	} else { // many rows: pack all of b first
		g.packed = e.sharedRoom(k * roundUp(n, e.ops.nr))
		g.rowStep = e.rowStep(m, n*k)
		e.packAll(g.packed, b)
		e.job.run = gemmRows
		e.do((m+g.rowStep-1)/g.rowStep, 1)
	}
	*g = gemmJob{}
}

// flipFrom is from how many rows on the transposed product fills its panels.
const flipFrom = 32

// gemmFlipped computes cᵀ = bᵀ·aᵀ, where b's columns are the contiguous ones
// and the larger matrix: it is read where it lies and never packed. The chains
// and so the bits are the same; not so with a bias in bfloat16, which is added after
// the sums, where nothing flushes.
func (e *Engine) gemmFlipped(c []float32, ldc int, a, b Matrix, ep *Epilogue) {
	m, n := a.Rows, b.Cols
	if cap(e.flipped) < m*n {
		e.flipped = Floats(m * n)
	}
	ct := e.flipped[:m*n]
	e.product(ct, m, b.T(), a.T(), Epilogue{}, e.threadsFor(m*n*a.Cols))
	j := &e.job
	j.run, j.y, j.x, j.n, j.width = flipBack, c, ct, ldc, m
	e.do(n, max(64, roundUp(packGrain/m, 16)))
	for i := range m {
		e.afterAdd(c, i*ldc, i*ldc+n, n, ep)
	}
}

// flipBack writes rows [lo, hi) of cᵀ as columns of c.
func flipBack(e *Engine, j *job, _, lo, hi int) {
	m := j.width
	transposed(e.level, j.y[lo:], j.n, j.x[lo*m:], m, hi-lo, m)
}

// directB is how large a b stays in L1 as it lies.
const directB = 24 << 10 / 4

// gemmDirect is for small products: nothing is packed.
func (e *Engine) gemmDirect(c []float32, ldc int, a, b *Matrix, ep *Epilogue) {
	n, nr := b.Cols, e.ops.nr
	av := view{a.Data, a.RowStride, a.ColStride}
	for j := 0; j < n; j += nr {
		e.tiles(a.Rows, min(nr, n-j), a.Cols, av, tail(b.Data, j), b.RowStride, c[j:], ldc, ep, j, true, true, nil)
	}
	e.finish(c, ldc, 0, a.Rows, 0, n, ep)
}

func (ep Epilogue) check(cols, size int) {
	if ep.Bias != nil && len(ep.Bias) != cols {
		panic("kernel: Epilogue: bias length is not the number of columns")
	}
	if ep.Pre != nil && len(ep.Pre) < size {
		panic("kernel: Epilogue: Pre too short")
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// parallelFrom is the least number of multiply-adds worth waking a worker.
const parallelFrom = 1 << 20

func (e *Engine) threadsFor(work int) int {
	if work < parallelFrom {
		return 1
	}
	return e.threads
}

// rowStep cuts m rows, each of the given work, into blocks of at most blockM,
// as many for each thread.
func (e *Engine) rowStep(m, work int) int {
	t := e.threadsFor(m * work)
	blocks := roundUp((m+blockM-1)/blockM, t)
	return min(blockM, (m+blocks-1)/blocks)
}

// groupPanels is how many panels are packed together: their rows are read as
// they lie, in long runs.
const groupPanels = 8

// gemmColumns does column tasks [lo, hi): all rows, own packing.
func gemmColumns(e *Engine, _ *job, worker, lo, hi int) {
	g := &e.gemm
	nr, per := e.ops.nr, e.half.per
	m, k := g.a.Rows, g.a.Cols
	direct := !e.half.on && g.b.ColStride == 1 && m <= e.ops.direct
	for t := lo; t < hi; t++ {
		j0 := t * g.colStep
		j1 := min(g.b.Cols, j0+g.colStep)
		ownA := worthPackingA(g.a, j1-j0)
		for p := 0; p < k || p == 0; p += blockK {
			kc := min(blockK, k-p)
			first, last := p == 0, p+kc == k
			room := e.room(worker, groupPanels*nr*kc+packedA(m, kc))
			a := view{tail(g.a.Data, p*g.a.ColStride), g.a.RowStride, g.a.ColStride}
			if ownA && kc > 0 {
				a = packA(room[groupPanels*nr*kc:], a, m, kc)
			}
			f := e.fetcher(worker)
			f.matrix(g.a, 0, m, p+kc, p+kc+blockK)
			for j := j0; j < j1; {
				if direct && (j1-j >= nr || e.ops.masked) {
					b := tail(g.b.Data, p*g.b.RowStride+j)
					f.panel = g.ahead(p, kc, 1, min(j1, j+nr), j0, j1, nr)
					e.tiles(m, min(nr, j1-j), kc, a, b, g.b.RowStride, g.c[j:], g.ldc, &g.ep, j, first, last, f)
					j += nr
					continue
				}
				jn := min(j1, j+groupPanels*nr)
				e.pack(worker, room, g.b, p*per, min(g.b.Rows, (p+kc)*per), j, jn, kc)
				ahead := g.ahead(p, kc, per, jn, j0, j1, groupPanels*nr)
				for q := 0; j < jn; q, j = q+1, j+nr {
					f.panel = ahead
					e.tiles(m, min(nr, jn-j), kc, a, room[q*nr*kc:], nr, g.c[j:], g.ldc, &g.ep, j, first, last, f)
					ahead.at, ahead.end = ahead.at+uintptr(4*nr), ahead.end+uintptr(4*nr)
				}
			}
		}
		e.finish(g.c, g.ldc, 0, m, j0, j1, &g.ep)
	}
}

// ahead is what gemmColumns packs after the columns before jn of block p.
func (g *gemmJob) ahead(p, kc, per, jn, j0, j1, group int) stream {
	if jn == j1 {
		p, jn = p+kc, j0
	}
	if g.a.Cols*g.colStep < bigB || p >= g.a.Cols || g.b.ColStride != 1 && g.b.RowStride != 1 {
		return stream{}
	}
	at := address(g.b.Data[p*per*g.b.RowStride+jn*g.b.ColStride:])
	step, count := 4*g.b.RowStride, min(blockK, g.a.Cols-p)*per
	if g.b.ColStride != 1 {
		step, count = 4*g.b.ColStride, min(group, j1-jn)
	}
	return stream{at, step, at + uintptr(step*count)}
}

// bigB is how large a b is not in the cache already.
const bigB = 1 << 16

// gemmRows does row blocks [lo, hi) against the packed b.
func gemmRows(e *Engine, _ *job, worker, lo, hi int) {
	g := &e.gemm
	m, n, k := g.a.Rows, g.b.Cols, g.a.Cols
	for t := lo; t < hi; t++ {
		i0 := t * g.rowStep
		i1 := min(m, i0+g.rowStep)
		ownA := worthPackingA(g.a, n)
		for p := 0; p < k || p == 0; p += blockK {
			kc := min(blockK, k-p)
			a := view{tail(g.a.Data, i0*g.a.RowStride+p*g.a.ColStride), g.a.RowStride, g.a.ColStride}
			if ownA && kc > 0 {
				a = packA(e.room(worker, packedA(i1-i0, kc)), a, i1-i0, kc)
			}
			f := e.fetcher(worker)
			if p+kc < k {
				f.matrix(g.a, i0, i1, p+kc, p+kc+blockK)
			} else if t+1 < hi {
				f.matrix(g.a, i1, i1+g.rowStep, 0, blockK)
			}
			e.slab(i1-i0, n, kc, a, tail(g.packed, p*e.ops.nr), k, g.c[i0*g.ldc:], g.ldc, &g.ep, p == 0, p+kc == k, f)
		}
		e.finish(g.c, g.ldc, i0, i1, 0, n, &g.ep)
	}
}

// finish applies what the tiles did not: Pre and any activation but ReLU.
func (e *Engine) finish(c []float32, ldc, i0, i1, j0, j1 int, ep *Epilogue) {
	if ep.Pre == nil && (ep.Act.Kind == Linear || ep.Act.Kind == ReLU) {
		return
	}
	if j1-j0 == ldc {
		e.finishRun(c, i0*ldc, i1*ldc, ep)
		return
	}
	for i := i0; i < i1; i++ {
		e.finishRun(c, i*ldc+j0, i*ldc+j1, ep)
	}
}

func (e *Engine) finishRun(c []float32, lo, hi int, ep *Epilogue) {
	if lo >= hi {
		return
	}
	hi = min(hi, len(c))
	if ep.Pre != nil {
		copy(ep.Pre[lo:hi], c[lo:hi])
	}
	e.ops.activate(c[lo:hi], c[lo:hi], ep.Act)
}
