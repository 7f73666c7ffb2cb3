package kernel

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
