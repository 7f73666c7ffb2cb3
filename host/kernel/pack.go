package kernel

// packAll packs b into panels of nr columns, each all rows deep, which are words
// with bfloat16, zeros after the last column: element (p, j) at d[(j/nr)·nr·rows + p·nr + j%nr].
func (e *Engine) packAll(d []float32, b Matrix) {
	nr := e.ops.nr
	panels := (b.Cols + nr - 1) / nr
	j := &e.job
	j.run, j.y, j.mat = packPart, d, b
	j.flag = b.ColStride == 1
	if j.flag { // by rows, which are read as they lie
		e.do(e.half.units(b.Rows), max(16, packGrain/max(1, nr*panels))&^1)
		return
	}
	e.do(panels, max(1, packGrain/max(1, nr*b.Rows)))
}

// packGrain is how many numbers a thread packs at least.
const packGrain = 1 << 15

func packPart(e *Engine, j *job, worker, lo, hi int) {
	depth, per, nr := e.half.units(j.mat.Rows), e.half.per, e.ops.nr
	if j.flag {
		e.pack(worker, j.y[lo*nr:], j.mat, lo*per, min(j.mat.Rows, hi*per), 0, j.mat.Cols, depth)
		return
	}
	e.pack(worker, j.y[lo*nr*depth:], j.mat, 0, j.mat.Rows, lo*nr, min(j.mat.Cols, hi*nr), depth)
}

// pack packs rows [k0, k1) and columns [j0, j1) of b into panels that are
// depth rows deep.
func (e *Engine) pack(worker int, d []float32, b Matrix, k0, k1, j0, j1, depth int) {
	switch {
	case k0 >= k1 || j0 >= j1:
	case e.half.on:
		e.packWords(worker, d, b, k0, k1, j0, j1, depth)
	default:
		e.packFloats(d, b, k0, k1, j0, j1, depth)
	}
}

func (e *Engine) packFloats(d []float32, b Matrix, k0, k1, j0, j1, depth int) {
	nr := e.ops.nr
	src := b.Data[k0*b.RowStride+j0*b.ColStride:]
	n := j1 - j0
	switch {
	case b.ColStride == 1:
		e.packRows(d, src, b.RowStride, k1-k0, n, depth*nr)
	case b.RowStride == 1:
		for j := 0; j < n; j += nr {
			e.packColumns(d[j*depth:], src[j*b.ColStride:], b.ColStride, k1-k0, min(nr, n-j))
		}
	default:
		for j := 0; j < n; j += nr {
			w := min(nr, n-j)
			for p := range k1 - k0 {
				row := d[j*depth+p*nr:][:nr]
				for q := range w {
					row[q] = src[p*b.RowStride+(j+q)*b.ColStride]
				}
				clear(row[w:])
			}
		}
	}
}

// packRows packs k rows of n columns; panels start step numbers apart.
func (e *Engine) packRows(d, src []float32, ld, k, n, step int) {
	nr := e.ops.nr
	full := n / nr
	if full > 0 {
		full = packRows(e.level, d, src, ld, k, full, step)
	}
	for j := full * nr; j < n; j += nr {
		w := min(nr, n-j)
		for p := range k {
			row := d[j/nr*step+p*nr:][:nr]
			clear(row[copy(row, src[p*ld+j:][:w]):])
		}
	}
}

// packColumns packs w columns, ld apart and k long, into one panel.
func (e *Engine) packColumns(d, src []float32, ld, k, w int) {
	nr := e.ops.nr
	transposed(e.level, d, nr, src, ld, w, k)
	if w < nr {
		for p := range k {
			clear(d[p*nr+w : p*nr+nr])
		}
	}
}

// transposed writes h rows of src, w long and ld apart, as columns of d.
func transposed(l Level, d []float32, dld int, src []float32, ld, h, w int) {
	rows, deep := transpose(l, d, dld, src, ld, h, w)
	for i := range h {
		from := deep
		if i >= rows {
			from = 0
		}
		for j, v := range src[i*ld+from : i*ld+w] {
			d[(from+j)*dld+i] = v
		}
	}
}

// packA copies an m×kc block of A so that its rows or columns do not fall
// into the same cache sets, whatever their stride was.
func packA(d []float32, a view, m, kc int) view {
	if a.cs == 1 {
		ld := kc + 16
		for i := range m {
			copy(d[i*ld:i*ld+kc], a.data[i*a.rs:])
		}
		return view{d, ld, 1}
	}
	ld := roundUp(m, 16) + 16
	for p := range kc {
		copy(d[p*ld:p*ld+m], a.data[p*a.cs:])
	}
	return view{d, 1, ld}
}

// packedA is room for packA's copy.
func packedA(m, kc int) int { return (roundUp(m, 16) + 16) * (kc + 16) }

// worthPackingA reports whether a block of A that n columns use should be copied first.
func worthPackingA(a Matrix, n int) bool {
	return a.RowStride == 1 && a.ColStride >= 512 && n >= 96 || a.ColStride == 1 && a.RowStride >= 512 && n >= 128
}
