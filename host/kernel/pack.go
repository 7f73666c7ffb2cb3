package kernel

// packAll packs b into panels of nr columns, each k rows deep, zeros behind
// the last column: element (p, j) at d[(j/nr)·nr·k + p·nr + j%nr].
func (e *Engine) packAll(d []float32, b Matrix) {
	panels := (b.Cols + e.ops.nr - 1) / e.ops.nr
	grain := max(1, (1<<15)/max(1, e.ops.nr*b.Rows))
	j := &e.job
	j.run, j.y, j.mat = packPanels, d, b
	e.do(panels, grain)
}

func packPanels(e *Engine, j *job, _, lo, hi int) {
	b := j.mat
	nr := e.ops.nr
	for p := lo; p < hi; p++ {
		e.packPanel(j.y[p*nr*b.Rows:(p+1)*nr*b.Rows], b, 0, b.Rows, p*nr, min(nr, b.Cols-p*nr))
	}
}

// packPanel packs rows [k0, k1) and columns [j, j+w) of b, w ≤ nr, into d.
func (e *Engine) packPanel(d []float32, b Matrix, k0, k1, j, w int) {
	nr := e.ops.nr
	if k0 == k1 {
		return
	}
	src := b.Data[k0*b.RowStride+j*b.ColStride:]
	switch {
	case b.ColStride == 1:
		for p := range k1 - k0 {
			row := d[p*nr : p*nr+nr]
			clear(row[copy(row, src[p*b.RowStride:p*b.RowStride+w]):])
		}
	case b.RowStride == 1:
		e.ops.packT(d, src, b.ColStride, k1-k0, w, nr)
	default:
		for p := range k1 - k0 {
			row := d[p*nr : p*nr+nr]
			for q := range w {
				row[q] = src[p*b.RowStride+q*b.ColStride]
			}
			clear(row[w:])
		}
	}
}
