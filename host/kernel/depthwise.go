package kernel

// Depthwise is Conv with F = C·M: output channel c·M+m reads input channel c
// alone; the kernel is (KH, KW, C, M).
type Depthwise struct {
	Conv // F is ignored
	M    int
}

func (g Depthwise) check() {
	g.F = 0
	g.Conv.check()
	if g.M < 1 {
		panic("kernel: Depthwise: M below 1")
	}
}

func (g Depthwise) out() int { return g.OH * g.OW * g.C * g.M }

// window is the part [k0, k1) of a window of k that starts at o and lies in [0, n).
func window(o, k, n int) (k0, k1 int) {
	k0 = min(k, max(0, -o))
	return k0, max(k0, min(k, n-o))
}

// DepthwiseForward computes y (n, OH, OW, C·M) from x (n, H, W, C).
func (e *Engine) DepthwiseForward(y, x, w []float32, n int, g Depthwise, ep Epilogue) {
	g.check()
	if n < 0 || len(y) != n*g.out() || len(x) != n*g.in() || len(w) != g.depth()*g.M {
		panic("kernel: DepthwiseForward: wrong length")
	}
	ep.check(g.C*g.M, len(y))
	j := &e.job
	j.run, j.y, j.x, j.a, j.depth, j.ep = depthwiseForward, y, x, w, g, ep
	e.do(n*g.OH, 1)
}

// depthwiseForward does output rows [lo, hi) of the batch.
func depthwiseForward(e *Engine, j *job, _, lo, hi int) {
	g := j.depth
	f := g.C * g.M
	for r := lo; r < hi; r++ {
		img, oy := r/g.OH, r%g.OH
		x := j.x[img*g.in():][:g.in()]
		top := oy*g.SH - g.Top
		kh0, kh1 := window(top, g.KH, g.H)
		for ox := range g.OW {
			left := ox*g.SW - g.Left
			kw0, kw1 := window(left, g.KW, g.W)
			y := j.y[(r*g.OW+ox)*f:][:f]
			if !j.ep.Accumulate {
				clear(y)
			}
			for kh := kh0; kh < kh1; kh++ {
				for kw := kw0; kw < kw1; kw++ {
					e.mulAddSpread(y, x[((top+kh)*g.W+left+kw)*g.C:][:g.C], j.a[(kh*g.KW+kw)*f:][:f], g.M)
				}
			}
		}
		e.afterAdd(j.y, r*g.OW*f, (r+1)*g.OW*f, f, &j.ep)
	}
}

// mulAddSpread computes y[c·m+i] += x[c]·w[c·m+i].
func (e *Engine) mulAddSpread(y, x, w []float32, m int) {
	if m == 1 {
		e.ops.mulAdd(y, x, w)
		return
	}
	for c, v := range x {
		wc := w[c*m : c*m+m]
		for i := range y[c*m : c*m+m] {
			y[c*m+i] += float32(v * wc[i])
		}
	}
}

// DepthwiseInput computes dx from dy.
func (e *Engine) DepthwiseInput(dx, dy, w []float32, n int, g Depthwise) {
	g.check()
	if n < 0 || len(dy) != n*g.out() || len(dx) != n*g.in() || len(w) != g.depth()*g.M {
		panic("kernel: DepthwiseInput: wrong length")
	}
	j := &e.job
	j.run, j.y, j.x, j.a, j.depth = depthwiseInput, dx, dy, w, g
	e.do(n, 1)
}

// depthwiseInput does images [lo, hi).
func depthwiseInput(e *Engine, j *job, _, lo, hi int) {
	g := j.depth
	f := g.C * g.M
	for img := lo; img < hi; img++ {
		dx := j.y[img*g.in():][:g.in()]
		clear(dx)
		for p := range g.OH * g.OW {
			top, left := p/g.OW*g.SH-g.Top, p%g.OW*g.SW-g.Left
			kh0, kh1 := window(top, g.KH, g.H)
			kw0, kw1 := window(left, g.KW, g.W)
			dy := j.x[img*g.out()+p*f:][:f]
			for kh := kh0; kh < kh1; kh++ {
				for kw := kw0; kw < kw1; kw++ {
					e.mulAddGather(dx[((top+kh)*g.W+left+kw)*g.C:][:g.C], dy, j.a[(kh*g.KW+kw)*f:][:f], g.M)
				}
			}
		}
	}
}

// mulAddGather computes d[c] += Σ_i a[c·m+i]·b[c·m+i].
func (e *Engine) mulAddGather(d, a, b []float32, m int) {
	if m == 1 {
		e.ops.mulAdd(d, a, b)
		return
	}
	for c := range d {
		s := d[c]
		bc := b[c*m : c*m+m]
		for i, v := range a[c*m : c*m+m] {
			s += float32(v * bc[i])
		}
		d[c] = s
	}
}

// DepthwiseKernel computes dw from x and dy.
func (e *Engine) DepthwiseKernel(dw, x, dy []float32, n int, g Depthwise) {
	g.check()
	if n < 0 || len(dy) != n*g.out() || len(x) != n*g.in() || len(dw) != g.depth()*g.M {
		panic("kernel: DepthwiseKernel: wrong length")
	}
	j := &e.job
	j.run, j.y, j.x, j.a, j.depth, j.n = depthwiseKernel, dw, x, dy, g, n
	e.do(g.KH*g.KW, 1)
}

// depthwiseKernel does kernel positions [lo, hi), over all pixels in order.
func depthwiseKernel(e *Engine, j *job, _, lo, hi int) {
	g := j.depth
	f := g.C * g.M
	for t := lo; t < hi; t++ {
		kh, kw := t/g.KW, t%g.KW
		dw := j.y[t*f:][:f]
		clear(dw)
		for r := range j.n * g.OH {
			img, oy := r/g.OH, r%g.OH
			iy := oy*g.SH - g.Top + kh
			if iy < 0 || iy >= g.H {
				continue
			}
			for ox := range g.OW {
				ix := ox*g.SW - g.Left + kw
				if ix < 0 || ix >= g.W {
					continue
				}
				e.mulAddSpread(dw, j.x[((img*g.H+iy)*g.W+ix)*g.C:][:g.C], j.a[(r*g.OW+ox)*f:][:f], g.M)
			}
		}
	}
}
