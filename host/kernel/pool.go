package kernel

// Pool is the geometry of a pooling: windows KH×KW at strides SH×SW; padding
// is outside the data and is neither a maximum nor counted in a mean. A window
// wholly outside gives 0.
type Pool struct {
	H, W, C   int
	OH, OW    int
	KH, KW    int
	SH, SW    int
	Top, Left int
}

func (g Pool) check() {
	if g.H < 0 || g.W < 0 || g.C < 0 || g.OH < 0 || g.OW < 0 || g.KH < 1 || g.KW < 1 || g.SH < 1 || g.SW < 1 {
		panic("kernel: Pool: bad geometry")
	}
}

func (g Pool) in() int  { return g.H * g.W * g.C }
func (g Pool) out() int { return g.OH * g.OW * g.C }

// MaxPool computes y (n, OH, OW, C) and, if arg is not nil, for each output
// the offset of its maximum within its image (the first of equals; −1 for a
// window wholly outside). A NaN in the window is its maximum.
func (e *Engine) MaxPool(y []float32, arg []int32, x []float32, n int, g Pool) {
	g.check()
	if n < 0 || len(y) != n*g.out() || len(x) != n*g.in() || arg != nil && len(arg) != len(y) {
		panic("kernel: MaxPool: wrong length")
	}
	j := &e.job
	j.run, j.y, j.idx, j.x, j.pool = maxPool, y, arg, x, g
	e.do(n*g.OH, 1)
}

// maxPool does output rows [lo, hi) of the batch.
func maxPool(e *Engine, j *job, _, lo, hi int) {
	g := j.pool
	for r := lo; r < hi; r++ {
		img, oy := r/g.OH, r%g.OH
		x := j.x[img*g.in():][:g.in()]
		top := oy*g.SH - g.Top
		kh0, kh1 := window(top, g.KH, g.H)
		for ox := range g.OW {
			left := ox*g.SW - g.Left
			kw0, kw1 := window(left, g.KW, g.W)
			o := (r*g.OW + ox) * g.C
			y := j.y[o : o+g.C]
			var arg []int32
			if j.idx != nil {
				arg = j.idx[o : o+g.C]
			}
			if kh0 == kh1 || kw0 == kw1 {
				clear(y)
				for c := range arg {
					arg[c] = -1
				}
				continue
			}
			first := true
			for kh := kh0; kh < kh1; kh++ {
				for kw := kw0; kw < kw1; kw++ {
					at := ((top+kh)*g.W + left + kw) * g.C
					if !first {
						e.ops.maxInto(y, arg, x[at:at+g.C], at)
						continue
					}
					first = false
					copy(y, x[at:at+g.C])
					for c := range arg {
						arg[c] = int32(at + c)
					}
				}
			}
		}
	}
}

func maxIntoGo(y []float32, arg []int32, x []float32, at int) {
	y = y[:len(x)]
	if arg == nil {
		for c, v := range x {
			y[c] = max(y[c], v)
		}
		return
	}
	arg = arg[:len(x)]
	for c, v := range x {
		if v > y[c] || v != v {
			y[c] = v
			arg[c] = int32(at + c)
		}
	}
}

// MaxPoolGrad scatters dy to dx by arg. dx is overwritten.
func (e *Engine) MaxPoolGrad(dx, dy []float32, arg []int32, n int, g Pool) {
	g.check()
	if n < 0 || len(dy) != n*g.out() || len(dx) != n*g.in() || len(arg) != len(dy) {
		panic("kernel: MaxPoolGrad: wrong length")
	}
	j := &e.job
	j.run, j.y, j.idx, j.x, j.pool = maxPoolGrad, dx, arg, dy, g
	e.do(n, 1)
}

// maxPoolGrad does images [lo, hi).
func maxPoolGrad(_ *Engine, j *job, _, lo, hi int) {
	g := j.pool
	for img := lo; img < hi; img++ {
		dx := j.y[img*g.in():][:g.in()]
		clear(dx)
		dy := j.x[img*g.out():][:g.out()]
		for o, at := range j.idx[img*g.out():][:g.out()] {
			if at >= 0 {
				dx[at] += dy[o]
			}
		}
	}
}

// AvgPool is the mean over the part of each window inside.
func (e *Engine) AvgPool(y, x []float32, n int, g Pool) {
	g.check()
	if n < 0 || len(y) != n*g.out() || len(x) != n*g.in() {
		panic("kernel: AvgPool: wrong length")
	}
	j := &e.job
	j.run, j.y, j.x, j.pool = avgPool, y, x, g
	e.do(n*g.OH, 1)
}

// avgPool does output rows [lo, hi) of the batch.
func avgPool(e *Engine, j *job, _, lo, hi int) {
	g := j.pool
	for r := lo; r < hi; r++ {
		img, oy := r/g.OH, r%g.OH
		x := j.x[img*g.in():][:g.in()]
		top := oy*g.SH - g.Top
		kh0, kh1 := window(top, g.KH, g.H)
		for ox := range g.OW {
			left := ox*g.SW - g.Left
			kw0, kw1 := window(left, g.KW, g.W)
			y := j.y[(r*g.OW+ox)*g.C:][:g.C]
			clear(y)
			count := (kh1 - kh0) * (kw1 - kw0)
			if count == 0 {
				continue
			}
			for kh := kh0; kh < kh1; kh++ {
				for kw := kw0; kw < kw1; kw++ {
					at := ((top+kh)*g.W + left + kw) * g.C
					e.ops.axpy(y, x[at:at+g.C], 1)
				}
			}
			e.ops.scale(y, y, 1/float32(count), 0)
		}
	}
}

// AvgPoolGrad spreads dy evenly. dx is overwritten.
func (e *Engine) AvgPoolGrad(dx, dy []float32, n int, g Pool) {
	g.check()
	if n < 0 || len(dy) != n*g.out() || len(dx) != n*g.in() {
		panic("kernel: AvgPoolGrad: wrong length")
	}
	j := &e.job
	j.run, j.y, j.x, j.pool = avgPoolGrad, dx, dy, g
	e.do(n, 1)
}

// avgPoolGrad does images [lo, hi).
func avgPoolGrad(e *Engine, j *job, _, lo, hi int) {
	g := j.pool
	for img := lo; img < hi; img++ {
		dx := j.y[img*g.in():][:g.in()]
		clear(dx)
		for p := range g.OH * g.OW {
			top, left := p/g.OW*g.SH-g.Top, p%g.OW*g.SW-g.Left
			kh0, kh1 := window(top, g.KH, g.H)
			kw0, kw1 := window(left, g.KW, g.W)
			dy := j.x[img*g.out()+p*g.C:][:g.C]
			s := 1 / float32(max(1, (kh1-kh0)*(kw1-kw0)))
			for kh := kh0; kh < kh1; kh++ {
				for kw := kw0; kw < kw1; kw++ {
					at := ((top+kh)*g.W + left + kw) * g.C
					e.ops.axpy(dx[at:at+g.C], dy, s)
				}
			}
		}
	}
}
