package kernel

import "unsafe"

// walk is rows of register tiles as the assembly reads it. Strides are in bytes.
// Addresses are no pointers, since they move and end behind what they point into;
// the engine holds all that they come from.
type walk struct {
	k                               int
	a                               uintptr
	rs                              int
	steps                           uintptr
	b                               uintptr
	bs                              int
	c                               uintptr
	ldc                             int
	tiles, height, tall             int // of the row under way
	mode                            int
	bias                            uintptr
	mask                            uintptr
	rows                            int
	rowA, rowC                      int // after a row, besides what its tiles moved
	eachTiles, eachHeight, eachTall int // of each row
}

// cut divides m rows of a product into tiles of nearly equal height.
func (w *walk) cut(m, mr int) {
	w.eachTiles = (m + mr - 1) / mr
	w.eachHeight = (m + w.eachTiles - 1) / w.eachTiles
	w.eachTall = m - (w.eachHeight-1)*w.eachTiles
}

// windows computes all stencils by walking through padded images.
func (e *Engine) windows() {
	c := &e.conv
	f := &c.few
	nr := e.ops.nr
	if f.back {
		c.packed = e.sharedRoom(c.g.KH * c.g.KW * c.g.F * roundUp(c.g.C, nr))
		e.job.run = packPhases
		e.do(c.g.KH*c.g.KW, max(1, packGrain/max(1, c.g.F*c.g.C)))
	} else {
		c.packed = e.sharedRoom(c.g.depth() * roundUp(c.g.F, nr))
		e.packAll(c.packed, Dense(c.w, c.g.depth(), c.g.F))
	}
	total := 0
	for i := range f.stencils() {
		ph := c.stencil(i)
		total += ph.conv.depth()
	}
	steps := e.stepsRoom(total)
	pw := f.right - f.left
	for i := range f.stencils() {
		ph := c.stencil(i)
		run := ph.conv.KW * f.c
		n := ph.conv.depth()
		for p := range n {
			steps[p] = 4
			if p%run == run-1 {
				steps[p] = 4 * (pw*f.c - run + 1)
			}
		}
		steps = steps[n:]
	}
	e.job.run = fewWindows
	e.do(c.n*f.bands, f.grain)
}

// fewWindows does bands [lo, hi).
func fewWindows(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	f := &c.few
	nr := e.ops.nr
	pw := f.right - f.left
	for t := lo; t < hi; t++ {
		img, q0, q1 := f.band(t)
		y0, y1 := c.reach(q0, q1)
		a := e.room(worker, (y1-y0)*pw*f.c)
		padded(a, c.x[img*f.h*f.w*f.c:][:f.h*f.w*f.c], f.h, f.w, f.c, y0, y1, f.left, f.right)
		packed, steps := c.packed, e.steps
		for i := range f.stencils() {
			ph := c.stencil(i)
			s := &ph.conv
			depth := s.depth()
			if rows := min(q1, s.OH) - q0; !ph.empty() && rows > 0 {
				w := walk{k: depth, rs: 4 * s.SW * f.c, bs: 4 * nr, ldc: 4 * f.sw * f.dc, mode: c.ep.fewMode(),
					rowA: 4 * (s.SH*pw - s.OW*s.SW) * f.c, rowC: 4 * (f.sh*f.dw - f.sw*s.OW) * f.dc}
				w.cut(s.OW, e.ops.mr)
				from := (((q0*s.SH-s.Top)-y0)*pw - s.Left - f.left) * f.c
				to := ((img*f.dh+q0*f.sh+ph.y)*f.dw + ph.x) * f.dc
				for j := 0; j < f.dc; j += nr {
					w.a, w.steps = address(tail(a, from)), stepsAddress(steps)
					w.b, w.c = address(tail(packed, j*depth)), address(c.y[to+j:])
					if c.ep.Bias != nil {
						w.bias = address(c.ep.Bias[j:])
					}
					w.rows = rows
					runWalk(e.level, &w, min(nr, f.dc-j))
				}
			}
			steps = steps[depth:]
			packed = tail(packed, depth*roundUp(f.dc, nr))
		}
		e.fewFinish(img, q0, q1)
	}
}

func stepsAddress(steps []int) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(steps))) }

// kernelWindows computes dw by walking through padded images, band by band in
// order. Each thread has kernel rows and columns of dw for itself.
func (e *Engine) kernelWindows() {
	c := &e.conv
	g, f := &c.g, &c.few
	*f = fewJob{h: g.H, w: g.W, c: g.C, dh: g.OH, dw: g.OW, dc: g.F, sh: 1, sw: 1}
	e.fewBands()
	f.height = min(f.height, max(1, bandFloats/max(1, g.OW*g.F)))
	f.bands = (f.rows + f.height - 1) / f.height
	steps := e.stepsRoom(f.height * g.OW)
	pw := f.right - f.left
	for i := range steps {
		steps[i] = 4 * g.SW * g.C
		if i%g.OW == g.OW-1 {
			steps[i] = 4 * (g.SH*pw - (g.OW-1)*g.SW) * g.C
		}
	}
	panels := (g.F + e.ops.nr - 1) / e.ops.nr
	c.colTask = g.KH * panels
	c.rowStep = min(e.threadsFor(c.n*g.OH*g.OW*g.F*g.depth()), c.colTask) // parts
	e.job.run = fewKernel
	e.do(c.rowStep, 1)
}

// fewKernel does parts [lo, hi) of dw.
func fewKernel(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	g, f := &c.g, &c.few
	nr := e.ops.nr
	pw, run := f.right-f.left, g.KW*g.C
	t0, t1 := lo*c.colTask/c.rowStep, hi*c.colTask/c.rowStep
	for img := range c.n {
		for b0 := range f.bands {
			q0 := b0 * f.height
			q1 := min(g.OH, q0+f.height)
			y0, y1 := c.reach(q0, q1)
			k := (q1 - q0) * g.OW
			room := e.room(worker, (y1-y0)*pw*g.C+(nr+1)*nr)
			a, packed := room[:(y1-y0)*pw*g.C], room[(y1-y0)*pw*g.C:]
			padded(a, c.x[img*g.in():][:g.in()], g.H, g.W, g.C, y0, y1, f.left, f.right)
			dy := c.dy[img*g.out()+q0*g.OW*g.F:]
			w := walk{rs: 4, ldc: 4 * g.F, rowA: 4 * (pw*g.C - run)}
			w.cut(run, e.ops.mr)
			for t := t0; t < t1; {
				panel, kh := t/g.KH, t%g.KH
				j, rows := panel*nr, min(g.KH-kh, t1-t)
				width := min(nr, g.F-j)
				whole := roundUp(width, 16)
				lie := k // pixels whose vectors end before dy does
				for lie > 0 && (lie-1)*g.F+j+whole > len(dy) {
					lie--
				}
				do := func(p0, p1 int, b []float32, bs int) {
					if p0 == p1 {
						return
					}
					w.k, w.b, w.bs = p1-p0, address(b), 4*bs
					w.a = address(a[((kh+p0/g.OW*g.SH)*pw+p0%g.OW*g.SW)*g.C:])
					w.steps = stepsAddress(e.steps[p0:])
					w.c, w.rows, w.mode = address(c.y[kh*run*g.F+j:]), rows, 0
					if img > 0 || b0 > 0 || p0 > 0 {
						w.mode = tileAdd
					}
					runWalk(e.level, &w, width)
				}
				do(0, lie, tail(dy, j), g.F)
				for p := lie; p < k; p++ {
					copy(packed[(p-lie)*nr:][:width], dy[p*g.F+j:])
				}
				do(lie, k, packed, nr)
				t += rows
			}
		}
	}
}
