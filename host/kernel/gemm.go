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
	g := &e.gemm
	g.c, g.ldc, g.a, g.b, g.ep = c, ldc, a, b, ep
	t := e.threadsFor(m * n * k)
	if m <= 2*blockM { // few rows: each task packs its own columns
		g.colStep = roundUp((n+t-1)/t, e.ops.nr)
		if g.colStep >= n {
			gemmColumns(e, nil, 0, 0, 1)
		} else {
			e.job.run = gemmColumns
			e.do((n+g.colStep-1)/g.colStep, 1)
		}
	} else { // many rows: pack all of b first
		g.packed = e.sharedRoom(k * roundUp(n, e.ops.nr))
		g.rowStep = e.rowStep(m, n*k)
		e.packAll(g.packed, b)
		e.job.run = gemmRows
		e.do((m+g.rowStep-1)/g.rowStep, 1)
	}
	*g = gemmJob{}
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

// unpackedRows is up to how many rows a row-major b is used where it lies.
const unpackedRows = 64

// gemmColumns does column tasks [lo, hi): all rows, own packing.
func gemmColumns(e *Engine, _ *job, worker, lo, hi int) {
	g := &e.gemm
	nr := e.ops.nr
	m, k := g.a.Rows, g.a.Cols
	direct := g.b.ColStride == 1 && m <= unpackedRows
	for t := lo; t < hi; t++ {
		j0 := t * g.colStep
		j1 := min(g.b.Cols, j0+g.colStep)
		for p := 0; p < k || p == 0; p += blockK {
			kc := min(blockK, k-p)
			a := view{tail(g.a.Data, p*g.a.ColStride), g.a.RowStride, g.a.ColStride}
			for j := j0; j < j1; j += nr {
				w := min(nr, j1-j)
				b, bs := tail(g.b.Data, p*g.b.RowStride+j), g.b.RowStride
				if !direct || w < nr && !e.ops.masked {
					b, bs = e.room(worker, nr*kc), nr
					e.packPanel(b, g.b, p, p+kc, j, w)
				}
				e.tiles(m, w, kc, a, b, bs, g.c[j:], g.ldc, &g.ep, j, p == 0, p+kc == k)
			}
		}
		e.finish(g.c, g.ldc, 0, m, j0, j1, &g.ep)
	}
}

// gemmRows does row blocks [lo, hi) against the packed b.
func gemmRows(e *Engine, _ *job, _, lo, hi int) {
	g := &e.gemm
	m, n, k := g.a.Rows, g.b.Cols, g.a.Cols
	for t := lo; t < hi; t++ {
		i0 := t * g.rowStep
		i1 := min(m, i0+g.rowStep)
		for p := 0; p < k || p == 0; p += blockK {
			kc := min(blockK, k-p)
			a := view{tail(g.a.Data, i0*g.a.RowStride+p*g.a.ColStride), g.a.RowStride, g.a.ColStride}
			e.slab(i1-i0, n, kc, a, tail(g.packed, p*e.ops.nr), k, g.c[i0*g.ldc:], g.ldc, &g.ep, p == 0, p+kc == k)
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
