package kernel

import "unsafe"

// Convolutions with few channels on one side, without columns of the input and
// without sums that are scattered. There are two forms, both over a padded copy
// of some rows of an image that stays in a cache.
//
// In windows lanes are the result's channels: register tiles are those of a
// product, and their operand a walks through the image by a table of distances.
// In planes lanes are neighbouring pixels of one channel, whose planes were
// made by transposing the image; that is for results of very few channels.
//
// Either way an element is one chain over kernel rows, kernel columns and
// channels, in that order, as it is over columns or phases: bits do not depend
// on the form.

// form is how a convolution is computed.
type form int

const (
	byColumns form = iota // products over columns, or over phases or scattered: the other files
	byWindows
	byPlanes
)

// narrow is what decides between forms: the sizes of a product over columns.
type narrow struct {
	kernel  bool // the kernel's gradient; else a result of pixels
	back    bool // of the pixels of the input
	in, out int  // channels summed over, and of the result; of the kernel: C and F
	taps    int  // pixels summed over
	width   int  // pixels in a row
	strided bool // what is read of a row is not next to each other
}

// rule is a line of a table; zeros fit all.
type rule struct {
	kernel             bool
	in, out            int // at most
	depth, taps, width int // at most taps·in, at least, at least
	close              bool
	forward            bool
	wide               bool // pays at AVX512 alone; for forms that have the bits of columns
	form               form
}

// fewRules say how a convolution is computed that has few channels on one side:
// forward, an input's gradient phase by phase, the kernel's gradient. The first
// line that fits decides. They look at the geometry alone, so that bits depend on
// neither batch nor threads; a result by planes may have other bits than one by
// scattering, and so goes by the same lines at both levels. BenchmarkFew says
// what pays.
var fewRules = []rule{
	{in: 32, out: 8, close: true, form: byPlanes},
	{out: 8, depth: 4096, taps: 9, close: true, forward: true, form: byPlanes},
	{out: 16, depth: 1024, width: 4, form: byWindows},
	{in: 16, out: 32, depth: 1024, width: 4, form: byWindows},
	{in: 16, out: 64, depth: 1024, width: 4, wide: true, form: byWindows},
	{kernel: true, in: 8, width: 4, form: byWindows},
	{kernel: true, out: 8, width: 4, form: byWindows},
	{kernel: true, in: 16, width: 4, wide: true, form: byWindows},
	{kernel: true, out: 16, width: 4, wide: true, form: byWindows},
}

func (n narrow) form(l Level) form {
	if n.in < 1 || n.out < 1 || n.taps < 1 {
		return byColumns
	}
	for _, r := range fewRules {
		if r.kernel == n.kernel && (r.in == 0 || n.in <= r.in) && (r.out == 0 || n.out <= r.out) &&
			(r.depth == 0 || n.taps*n.in <= r.depth) && n.taps >= r.taps && n.width >= r.width &&
			!(r.close && n.strided) && !(r.forward && n.back) && !(r.wide && l != AVX512) {
			return r.form
		}
	}
	return byColumns
}

// forwardForm is how y is computed.
func (g *Conv) forwardForm(l Level) form {
	return narrow{in: g.C, out: g.F, taps: g.KH * g.KW, width: g.OW, strided: g.SH > 1 || g.SW > 1}.form(l)
}

// inputForm is how dx is computed. What scatters does so unless by planes, so
// that the order of its sums is that of either level.
func (g *Conv) inputForm(l Level) form {
	taps := (g.KH + g.SH - 1) / g.SH * ((g.KW + g.SW - 1) / g.SW)
	f := narrow{back: true, in: g.F, out: g.C, taps: taps, width: g.W / g.SW}.form(l)
	if f == byWindows && g.scatters() {
		return byColumns
	}
	return f
}

// kernelForm is how dw is computed.
func (g *Conv) kernelForm(l Level) form {
	return narrow{kernel: true, in: g.C, out: g.F, taps: g.KH * g.KW, width: g.OW}.form(l)
}

// fewJob is a result under way: one stencil of stride SH×SW forward, one for
// each phase of an input's gradient.
type fewJob struct {
	back         bool // dx from dy
	h, w, c      int  // of what is read
	dh, dw, dc   int  // of the result
	sh, sw       int  // between the pixels of a stencil in the result
	height       int  // rows of a stencil in a band
	rows         int  // of a stencil, at most
	left, right  int  // columns [left, right) that stencils read
	packed       []float32
	grain, bands int
}

// stencils are their number; each is a convolution onto its pixels.
func (f *fewJob) stencils() int {
	if f.back {
		return f.sh * f.sw
	}
	return 1
}

func (c *convJob) stencil(i int) phase {
	if c.few.back {
		return c.g.phase(i)
	}
	return phase{conv: c.g}
}

func (ph *phase) empty() bool { return ph.conv.OH == 0 || ph.conv.OW == 0 }

// bandFloats is how much of an image is looked at together.
const bandFloats = 1 << 14

// fewBands cuts the result into bands and finds what is read.
func (e *Engine) fewBands() {
	c := &e.conv
	f := &c.few
	f.rows, f.left, f.right = 0, 0, 0
	first, taps := true, 0
	for i := range f.stencils() {
		ph := c.stencil(i)
		s := &ph.conv
		if ph.empty() {
			continue
		}
		f.rows = max(f.rows, s.OH)
		l, r := -s.Left, (s.OW-1)*s.SW-s.Left+s.KW
		if first || l < f.left {
			f.left = l
		}
		if first || r > f.right {
			f.right = r
		}
		taps, first = max(taps, s.KH), false
	}
	f.right = max(f.right, f.left+1)
	sh := 1
	if !f.back {
		sh = c.g.SH
	}
	fit := bandFloats / max(1, (f.right-f.left)*f.c) // rows of what is read
	f.height = min(f.rows, max(1, (fit-taps)/sh))
	f.bands = (f.rows + f.height - 1) / max(1, f.height)
	f.grain = 1
	if e.threadsFor(c.n*f.dh*f.dw*f.dc*c.g.KH*c.g.KW*f.c/(f.sh*f.sw)) == 1 {
		f.grain = max(1, c.n*f.bands)
	}
}

// reach is the rows [y0, y1) that stencils' rows [q0, q1) read.
func (c *convJob) reach(q0, q1 int) (y0, y1 int) {
	first := true
	for i := range c.few.stencils() {
		ph := c.stencil(i)
		s := &ph.conv
		q := min(q1, s.OH)
		if ph.empty() || q <= q0 {
			continue
		}
		a, b := q0*s.SH-s.Top, (q-1)*s.SH-s.Top+s.KH
		if first || a < y0 {
			y0 = a
		}
		if first || b > y1 {
			y1 = b
		}
		first = false
	}
	return y0, max(y0, y1)
}

// padded copies rows [y0, y1) and columns [x0, x1) of an image of h×w×c, zeros
// outside.
func padded(d, image []float32, h, w, c, y0, y1, x0, x1 int) {
	run := (x1 - x0) * c
	lead := min(x1-x0, max(0, -x0)) * c
	stop := max(lead, (min(x1, w)-x0)*c)
	for y := y0; y < y1; y++ {
		row := d[:run]
		d = d[run:]
		if y < 0 || y >= h || lead == stop {
			clear(row)
			continue
		}
		clear(row[:lead])
		copy(row[lead:stop], image[(y*w+x0)*c+lead:])
		clear(row[stop:])
	}
}

// stepsRoom is memory for n distances. Only the caller's goroutine may ask.
func (e *Engine) stepsRoom(n int) []int {
	if cap(e.steps) < n {
		e.steps = make([]int, n+n/4)
	}
	e.steps = e.steps[:n]
	return e.steps
}

func stepsAddress(steps []int) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(steps))) }

// fewChannels computes a result by windows or planes. The level is not Generic.
func (e *Engine) fewChannels(how form) {
	e.fewBands()
	if how == byPlanes {
		e.planes()
	} else {
		e.windows()
	}
}

// fewStart is the task's band: of image img the stencils' rows [q0, q1).
func (f *fewJob) band(t int) (img, q0, q1 int) {
	q0 = t % f.bands * f.height
	return t / f.bands, q0, min(f.rows, q0+f.height)
}

// fewFinish applies what the kernels did not to the result's rows of a band.
func (e *Engine) fewFinish(img, q0, q1 int) {
	c := &e.conv
	f := &c.few
	run := f.dw * f.dc
	lo, hi := min(f.dh, q0*f.sh), min(f.dh, q1*f.sh)
	if q1 == f.rows {
		hi = f.dh
	}
	if c.ep.Pre == nil && (c.ep.Act.Kind == Linear || c.ep.Act.Kind == ReLU) {
		return
	}
	e.finishRun(c.y, (img*f.dh+lo)*run, (img*f.dh+hi)*run, &c.ep)
}

// fewMode is what the kernels do besides the chains.
func (ep *Epilogue) fewMode() int {
	mode := 0
	if ep.Accumulate {
		mode |= tileAdd
	}
	if ep.Bias != nil {
		mode |= tileBias
	}
	if ep.Act.Kind == ReLU && ep.Pre == nil {
		mode |= tileReLU
	}
	return mode
}

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

// plane is tiles of neighbouring pixels as the assembly reads it.
type plane struct {
	k              int
	a, b           uintptr
	steps          uintptr
	c              uintptr
	ldc            int // bytes
	tiles, singles int
	mode           int
	bias           uintptr
}

// planeSlack is what tiles read and write after the last pixel.
const planeSlack = 8 * 16

// planes computes all stencils, whose strides are 1, from planes of the images.
func (e *Engine) planes() {
	c := &e.conv
	f := &c.few
	c.packed = c.w
	if f.back {
		c.packed = e.sharedRoom(c.g.KH * c.g.KW * c.g.F * c.g.C)
		packPlanes(c)
	}
	total := 0
	for i := range f.stencils() {
		ph := c.stencil(i)
		total += ph.conv.depth()
	}
	steps := e.stepsRoom(total)
	size, pw := c.planeSize(), f.right-f.left
	for i := range f.stencils() {
		ph := c.stencil(i)
		run := ph.conv.KW * f.c
		n := ph.conv.depth()
		for p := range n {
			switch {
			case p%f.c < f.c-1:
				steps[p] = 4 * size
			case p%run < run-1:
				steps[p] = 4 * (1 - (f.c-1)*size)
			default:
				steps[p] = 4 * (pw - ph.conv.KW + 1 - (f.c-1)*size)
			}
		}
		steps = steps[n:]
	}
	e.job.run = fewPlanes
	e.do(c.n*f.bands, f.grain)
}

// planeSize is how far planes of a band are apart: an odd number of lines, so
// that they fall into different cache sets.
func (c *convJob) planeSize() int {
	f := &c.few
	most := 0
	for q := 0; q < f.rows; q += f.height {
		y0, y1 := c.reach(q, min(f.rows, q+f.height))
		most = max(most, y1-y0)
	}
	return (most*(f.right-f.left)+15)/16*16 | 16
}

// packPlanes writes the kernel as the steps of each phase read it: for each
// kernel position and filter the channels.
func packPlanes(c *convJob) {
	g := &c.g
	for t := range g.KH * g.KW {
		kh, kw := t/g.KW, t%g.KW
		i := kh%g.SH*g.SW + kw%g.SW
		ph := g.phase(i)
		a, b := ph.conv.KH-1-kh/g.SH, ph.conv.KW-1-kw/g.SW
		d := c.packed[(g.phaseOffset(i)+a*ph.conv.KW+b)*g.F*g.C:][:g.F*g.C]
		for ch := range g.C {
			for q, v := range c.w[(t*g.C+ch)*g.F:][:g.F] {
				d[q*g.C+ch] = v
			}
		}
	}
}

// fewPlanes does bands [lo, hi).
func fewPlanes(e *Engine, _ *job, worker, lo, hi int) {
	c := &e.conv
	f := &c.few
	size, pw := c.planeSize(), f.right-f.left
	vectors := planeTile(e.level, f.dc)
	lanes := vectorLanes(e.level)
	for t := lo; t < hi; t++ {
		img, q0, q1 := f.band(t)
		y0, y1 := c.reach(q0, q1)
		ldc := roundUp((q1-q0)*pw, lanes) + planeSlack
		room := e.room(worker, size*f.c+2*planeSlack+ldc*f.dc)
		in, out := room[:size*f.c+2*planeSlack], room[size*f.c+2*planeSlack:]
		e.makePlanes(in, c.x[img*f.h*f.w*f.c:][:f.h*f.w*f.c], size, y0, y1)
		packed, steps := c.packed, e.steps
		for i := range f.stencils() {
			ph := c.stencil(i)
			s := &ph.conv
			depth := s.depth()
			if rows := min(q1, s.OH) - q0; !ph.empty() && rows > 0 {
				if c.ep.Accumulate {
					e.movePlanes(&ph, out, ldc, img, q0, rows, false)
				}
				n := ((rows-1)*pw + s.OW + lanes - 1) / lanes
				p := plane{k: depth, a: address(packed), b: address(tail(in, (q0-s.Top-y0)*pw-s.Left-f.left)),
					steps: stepsAddress(steps), c: address(out), ldc: 4 * ldc, mode: c.ep.fewMode(),
					tiles: n / vectors, singles: n % vectors}
				if p.singles*max(4, f.dc) >= vectors*f.dc { // chains of one vector wait for each other
					p.tiles, p.singles = p.tiles+1, 0
				}
				if c.ep.Bias != nil {
					p.bias = address(c.ep.Bias)
				}
				runPlane(e.level, &p, f.dc)
				e.movePlanes(&ph, out, ldc, img, q0, rows, true)
			}
			steps = steps[depth:]
			packed = packed[depth*f.dc:]
		}
		e.fewFinish(img, q0, q1)
	}
}

// makePlanes writes the band of an image channel by channel, padded; what lies
// after the last is 0.
func (e *Engine) makePlanes(d, image []float32, size, y0, y1 int) {
	f := &e.conv.few
	pw := f.right - f.left
	x0, x1 := max(0, f.left), min(f.w, f.right)
	if x1 <= x0 || y0 < 0 || y1 > f.h || x1-x0 < pw {
		clear(d)
	} else {
		clear(d[size*f.c:])
	}
	for y := max(0, y0); y < min(y1, f.h) && x0 < x1; y++ {
		to, row := d[(y-y0)*pw+x0-f.left:], image[(y*f.w+x0)*f.c:]
		if f.c == 1 {
			copy(to[:x1-x0], row)
			continue
		}
		transposed(e.level, to, size, row, f.c, x1-x0, f.c)
	}
}

// movePlanes copies a stencil's pixels from planes to their places in the
// result, or back.
func (e *Engine) movePlanes(ph *phase, planes []float32, ld, img, q0, rows int, toImage bool) {
	c := &e.conv
	f := &c.few
	pw := f.right - f.left
	width, step := ph.conv.OW, f.sw*f.dc
	for q := range rows {
		row := c.y[((img*f.dh+(q0+q)*f.sh+ph.y)*f.dw+ph.x)*f.dc:]
		row = row[:(width-1)*step+f.dc]
		from := planes[q*pw:]
		if toImage && f.dc == 8 {
			transposed(e.level, row, step, from, ld, f.dc, width)
			continue
		}
		for ch := range f.dc {
			p := from[ch*ld:][:width]
			switch {
			case !toImage:
				for x := range p {
					p[x] = row[x*step+ch]
				}
			case step == 1:
				copy(row, p)
			default:
				at := ch
				for _, v := range p {
					row[at] = v
					at += step
				}
			}
		}
	}
}

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
