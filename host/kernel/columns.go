package kernel

// inner is the range [a, b) of output columns whose whole window lies inside
// the input's width.
func (g *Conv) inner() (a, b int) {
	a = max(0, (g.Left+g.SW-1)/g.SW)
	if room := g.W - g.KW + g.Left; room >= 0 {
		b = min(g.OW, room/g.SW+1)
	}
	return a, max(a, b)
}

// columns writes what output pixels [p0, p1) of the batch read, as rows ld
// apart; of each row only the entries [k0, k1).
func (g *Conv) columns(l Level, d []float32, ld int, x []float32, p0, p1, k0, k1 int) {
	if k0 >= k1 {
		return
	}
	run := g.KW * g.C
	in0, in1 := g.inner()
	pixels := g.OH * g.OW
	for p0 < p1 { // a piece of an output row at a time
		img, r := p0/pixels, p0%pixels
		oy, ox := r/g.OW, r%g.OW
		end := min(g.OW, ox+p1-p0)
		image := x[img*g.in():][:g.in()]
		a, b := min(max(ox, in0), end), min(max(ox, in1), end)
		for k := k0; k < k1; {
			kh, q := k/run, k%run
			n := min(run-q, k1-k)
			iy := oy*g.SH - g.Top + kh
			to := d[k-k0:]
			k += n
			if iy < 0 || iy >= g.H {
				for i := range end - ox {
					clear(to[i*ld : i*ld+n])
				}
				continue
			}
			row := image[iy*g.W*g.C:][:g.W*g.C]
			for i := ox; i < a; i++ {
				g.clipped(to[(i-ox)*ld:][:n], row, i, q)
			}
			if a < b {
				copyRows(l, to[(a-ox)*ld:], row[(a*g.SW-g.Left)*g.C+q:], ld, g.SW*g.C, b-a, n)
			}
			for i := max(a, b); i < end; i++ {
				g.clipped(to[(i-ox)*ld:][:n], row, i, q)
			}
		}
		d = tail(d, (end-ox)*ld)
		p0 += end - ox
	}
}

// clipped writes entries [q, q+len(d)) of the window of output column ox over
// one input row, zeros where it lies outside.
func (g *Conv) clipped(d, row []float32, ox, q int) {
	at := (ox*g.SW-g.Left)*g.C + q
	lead := min(len(d), max(0, -at))
	stop := max(lead, min(len(d), len(row)-at))
	clear(d[:lead])
	if lead < stop {
		copy(d[lead:stop], row[at+lead:])
	}
	clear(d[stop:])
}

// scatter adds the columns of output row oy to one image of dx. Windows that
// overlap are added in separate passes.
func (g *Conv) scatter(l Level, dx, cols []float32, ld, oy int) {
	run := g.KW * g.C
	in0, in1 := g.inner()
	passes := (g.KW + g.SW - 1) / g.SW
	for kh := range g.KH {
		iy := oy*g.SH - g.Top + kh
		if iy < 0 || iy >= g.H {
			continue
		}
		row := dx[iy*g.W*g.C:][:g.W*g.C]
		src := cols[kh*run:]
		for ox := range min(in0, g.OW) {
			g.addClipped(row, src[ox*ld:][:run], ox)
		}
		for pass := in0; pass < min(in0+passes, in1); pass++ {
			addRows(l, row[(pass*g.SW-g.Left)*g.C:], src[pass*ld:], passes*g.SW*g.C, passes*ld, (in1-pass+passes-1)/passes, run)
		}
		for ox := in1; ox < g.OW; ox++ {
			g.addClipped(row, src[ox*ld:][:run], ox)
		}
	}
}

// addClipped adds the part inside of a window's entries.
func (g *Conv) addClipped(row, src []float32, ox int) {
	at := (ox*g.SW - g.Left) * g.C
	lead := min(len(src), max(0, -at))
	stop := max(lead, min(len(src), len(row)-at))
	if lead == stop {
		return
	}
	d := row[at+lead : at+stop]
	for i, v := range src[lead:stop] {
		d[i] += v
	}
}
