package kernel

// mapGrain is the least number of elements worth a thread of their own.
const mapGrain = 1 << 14

// each runs e.job over [0, n) elements; small work stays on the caller's thread.
func (e *Engine) each(n int) { e.do(n, mapGrain) }

func same(n int, others ...int) {
	for _, o := range others {
		if o != n {
			panic("kernel: lengths differ")
		}
	}
}

// Exp computes y = eˣ, within 2 ulp in the normal range. y may be x.
func (e *Engine) Exp(y, x []float32) {
	same(len(y), len(x))
	e.job.run, e.job.y, e.job.x = runExp, y, x
	e.each(len(y))
}

func runExp(e *Engine, j *job, _, lo, hi int) { e.ops.exp(j.y[lo:hi], j.x[lo:hi]) }

// Log is the natural logarithm, within 2 ulp in the normal range. y may be x.
func (e *Engine) Log(y, x []float32) {
	same(len(y), len(x))
	e.job.run, e.job.y, e.job.x = runLog, y, x
	e.each(len(y))
}

func runLog(e *Engine, j *job, _, lo, hi int) { e.ops.log(j.y[lo:hi], j.x[lo:hi]) }

// Add computes y += x.
func (e *Engine) Add(y, x []float32) { e.Axpy(y, x, 1) }

// Axpy computes y += s·x.
func (e *Engine) Axpy(y, x []float32, s float32) {
	same(len(y), len(x))
	e.job.run, e.job.y, e.job.x, e.job.s = runAxpy, y, x, s
	e.each(len(y))
}

func runAxpy(e *Engine, j *job, _, lo, hi int) { e.ops.axpy(j.y[lo:hi], j.x[lo:hi], j.s) }

// Mul computes y = a·b element by element. y may be a or b.
func (e *Engine) Mul(y, a, b []float32) {
	same(len(y), len(a), len(b))
	e.job.run, e.job.y, e.job.a, e.job.b = runMul, y, a, b
	e.each(len(y))
}

func runMul(e *Engine, j *job, _, lo, hi int) { e.ops.mul(j.y[lo:hi], j.a[lo:hi], j.b[lo:hi]) }

// Scale computes y = s·x + o. y may be x.
func (e *Engine) Scale(y, x []float32, s, o float32) {
	same(len(y), len(x))
	e.job.run, e.job.y, e.job.x, e.job.s, e.job.t = runScale, y, x, s, o
	e.each(len(y))
}

func runScale(e *Engine, j *job, _, lo, hi int) { e.ops.scale(j.y[lo:hi], j.x[lo:hi], j.s, j.t) }

// ScaleColumns computes y[i, j] = x[i, j]·s[j] + o[j]. y may be x.
func (e *Engine) ScaleColumns(y, x, s, o []float32) {
	same(len(y), len(x))
	same(len(s), len(o))
	if len(y) == 0 {
		return
	}
	if len(s) == 0 || len(y)%len(s) != 0 {
		panic("kernel: ScaleColumns: length is no multiple of the width")
	}
	e.job.run, e.job.y, e.job.x, e.job.a, e.job.b = runScaleColumns, y, x, s, o
	e.do(len(y)/len(s), 1+mapGrain/len(s))
}

func runScaleColumns(e *Engine, j *job, _, lo, hi int) {
	w := len(j.a)
	for i := lo * w; i < hi*w; i += w {
		e.ops.mulPlus(j.y[i:i+w], j.x[i:i+w], j.a, j.b)
	}
}

// Reparametrize computes z = mu + exp(½·logvar)·eps.
func (e *Engine) Reparametrize(z, mu, logvar, eps []float32) {
	same(len(z), len(mu), len(logvar), len(eps))
	e.job.run, e.job.y, e.job.x, e.job.a, e.job.b = runReparametrize, z, mu, logvar, eps
	e.each(len(z))
}

func runReparametrize(e *Engine, j *job, _, lo, hi int) {
	e.ops.reparametrize(j.y[lo:hi], j.x[lo:hi], j.a[lo:hi], j.b[lo:hi])
}

// ReparametrizeGrad computes dlogvar = dz·eps·½·exp(½·logvar). (dmu is dz.)
func (e *Engine) ReparametrizeGrad(dlogvar, dz, logvar, eps []float32) {
	same(len(dlogvar), len(dz), len(logvar), len(eps))
	e.job.run, e.job.y, e.job.x, e.job.a, e.job.b = runReparametrizeGrad, dlogvar, dz, logvar, eps
	e.each(len(dlogvar))
}

func runReparametrizeGrad(e *Engine, j *job, _, lo, hi int) {
	e.ops.reparametrizeGrad(j.y[lo:hi], j.x[lo:hi], j.a[lo:hi], j.b[lo:hi])
}
