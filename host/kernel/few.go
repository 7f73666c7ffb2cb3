package kernel

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
	half    bool // with bfloat16, which products over columns have instructions for
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
			if n.half && r.form == byWindows && !n.halfWindows() {
				return byColumns
			}
			return r.form
		}
	}
	return byColumns
}

// halfWindows reports whether windows in float32 pay against columns in bfloat16:
// BenchmarkHalfFew.
func (n narrow) halfWindows() bool {
	switch {
	case n.kernel:
		return n.in <= 2 && n.out <= 32 || n.out <= 4
	case n.back:
		return n.in <= 4 || n.in <= 24 && n.out <= 16
	}
	return n.in <= 2
}

// forwardForm is how y is computed.
func (g *Conv) forwardForm(l Level, half bool) form {
	return narrow{in: g.C, out: g.F, taps: g.KH * g.KW, width: g.OW, strided: g.SH > 1 || g.SW > 1, half: half}.form(l)
}

// inputForm is how dx is computed. What scatters does so unless by planes, so
// that the order of its sums is that of either level.
func (g *Conv) inputForm(l Level, half bool) form {
	taps := (g.KH + g.SH - 1) / g.SH * ((g.KW + g.SW - 1) / g.SW)
	f := narrow{back: true, in: g.F, out: g.C, taps: taps, width: g.W / g.SW, half: half}.form(l)
	if f == byWindows && g.scatters() {
		return byColumns
	}
	return f
}

// kernelForm is how dw is computed.
func (g *Conv) kernelForm(l Level, half bool) form {
	return narrow{kernel: true, in: g.C, out: g.F, taps: g.KH * g.KW, width: g.OW, half: half}.form(l)
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

// formLevel is the level whose rules decide. With bfloat16 they are those of
// AVX512 at either level, since sums over columns differ in what is subnormal.
func (e *Engine) formLevel() Level {
	if e.half.on {
		return AVX512
	}
	return e.level
}

// inFloat32 computes what has no instructions for bfloat16: in float32, with
// operands that are rounded.
func (e *Engine) inFloat32(f func()) {
	if !e.half.on {
		f()
		return
	}
	c := &e.conv
	for i, x := range []*[]float32{&c.x, &c.w, &c.dy} {
		if *x != nil {
			*x = e.rounded(i, *x)
		}
	}
	was := e.half
	e.half = half{per: 1}
	f()
	e.half = was
}

// fewChannels computes a result by windows or planes. The level is not Generic.
func (e *Engine) fewChannels(how form) {
	if e.half.on {
		e.inFloat32(func() { e.fewChannels(how) })
		return
	}
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
