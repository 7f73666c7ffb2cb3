package kernel

import "math"

// Precision is what the operands of matrix products and convolutions are rounded
// to. The zero value is Float32.
//
// BF16 is bfloat16: the higher half of a float32, so of its range, with 8 bits of
// its 24. Both operands are rounded to it, to nearest, ties to even. Products are
// exact, and summed in float32 in the order of Float32, each sum rounded once;
// sums and operands that are subnormal are 0, and a sum over an odd number, as over
// a pixel's odd number of channels, has a product 0·0 after the last. That is what
// the instructions of AVX512_BF16 compute, and other machines with ordinary ones, so
// that the bits are the same; they are other ones than Float32's. Bias, activation
// and all that is no product stay in float32, and so do depthwise convolutions,
// which have too few products for their memory.
type Precision string

// The precisions.
const (
	Float32 Precision = "float32"
	BF16    Precision = "bf16"
)

// half is how an engine multiplies bfloat16.
type half struct {
	on    bool
	pairs bool // by AVX512_BF16: operands are words of two; else float32 that were rounded
	per   int  // numbers in a word
}

func newHalf(p Precision, l Level) half {
	h := half{on: p == BF16, per: 1}
	if h.on && l == AVX512 && hasPairs {
		h.pairs, h.per = true, 2
	}
	return h
}

// units is how many words stand for n numbers summed over: an even number of
// numbers.
func (h half) units(n int) int {
	switch {
	case !h.on:
		return n
	case h.pairs:
		return (n + 1) / 2
	}
	return (n + 1) &^ 1
}

// flushing is MXCSR with what is subnormal taken and given as 0, all else as
// programs start.
const flushing = 0x1f80 | 1<<15 | 1<<6

// toHalfGo rounds to bfloat16. y may be x.
func toHalfGo(y, x []float32) {
	for i, v := range x {
		y[i] = halfOf(v)
	}
}

// halfOf is the bfloat16 nearest to v.
func halfOf(v float32) float32 {
	u := math.Float32bits(v)
	switch {
	case v != v:
		u = 0x7fc00000
	case u&0x7f800000 == 0:
		u &= 1 << 31
	default:
		u = (u + 0x7fff + u>>16&1) &^ 0xffff
	}
	return math.Float32frombits(u)
}

// addHalf is c + a·b, rounded once; what is subnormal is 0. a and b are
// bfloat16.
func addHalf(c, a, b float32) float32 {
	// Their product has 16 bits. Far from what float32 cannot hold, two roundings
	// are one.
	s := c + float32(a*b)
	if size := s; size < 0 && size <= -0x1p-90 && size >= -0x1p126 || size >= 0x1p-90 && size <= 0x1p126 {
		return s
	}
	return flush(float64(flush(float64(c))) + float64(a)*float64(b))
}

// flush rounds to float32; what is subnormal becomes 0.
func flush(v float64) float32 {
	if math.Abs(v) < 0x1p-126-0x1p-151 {
		return float32(math.Copysign(0, v))
	}
	return float32(v)
}

// tileHalf is tileGo for numbers that were rounded to bfloat16.
func tileHalf(k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc, h, w, mode int, bias []float32) {
	for i := range h {
		for j := range w {
			var s float32
			if mode&tileAdd != 0 {
				s = c[i*ldc+j]
			}
			for p := range k {
				s = addHalf(s, a[i*rs+p*cs], b[p*bs+j])
			}
			if mode&tileBias != 0 {
				s = flush(float64(flush(float64(s))) + float64(flush(float64(bias[j]))))
			}
			if mode&tileReLU != 0 && s < 0 {
				s = 0
			}
			c[i*ldc+j] = s
		}
	}
}

// operandRoom is scratch for an operand of the call under way.
func (e *Engine) operandRoom(i, n int) []float32 {
	if cap(e.operands[i]) < n {
		e.operands[i] = Floats(n + n/4)
	}
	return e.operands[i][:n]
}

// rounded is x rounded to bfloat16.
func (e *Engine) rounded(i int, x []float32) []float32 {
	d := e.operandRoom(i, len(x))
	e.job.run, e.job.y, e.job.x = runToHalf, d, x
	e.each(len(x))
	return d
}

func runToHalf(e *Engine, j *job, _, lo, hi int) { e.ops.toHalf(j.y[lo:hi], j.x[lo:hi]) }

// pixels are rows of c numbers, rounded, as rows of words.
func (e *Engine) pixels(x []float32, rows, c int) []float32 {
	if rows == 0 || c == 0 {
		return nil
	}
	d := e.operandRoom(0, rows*e.half.units(c))
	j := &e.job
	j.run, j.y, j.mat = wordRows, d, Dense(x, rows, c)
	e.do(rows, 1+mapGrain/c)
	return d
}

// wordRows writes rows [lo, hi) of a row-major matrix as words.
func wordRows(e *Engine, j *job, _, lo, hi int) {
	a, units := j.mat, e.half.units(j.mat.Cols)
	rows, c, ld, to := hi-lo, a.Cols, a.RowStride, units
	if ld == c && c%2 == 0 { // in one
		rows, c, ld, to = 1, c*rows, c*rows, units*rows
	}
	src, d := a.Data[lo*a.RowStride:], j.y[lo*units:hi*units]
	if e.half.pairs {
		pairAlong(d, src, to, ld, rows, c)
		return
	}
	for i := range rows {
		e.ops.toHalf(d[i*to:i*to+c], src[i*ld:i*ld+c])
		clear(d[i*to+c : i*to+to])
	}
}

// words is a with words for the numbers of its rows, those of a column next to
// each other if they are in a.
func (e *Engine) words(a Matrix) Matrix {
	units := e.half.units(a.Cols)
	j := &e.job
	j.mat = a
	switch {
	case a.Cols == 0:
		return Matrix{nil, a.Rows, 0, 0, 1}
	case a.ColStride == 1 || a.RowStride != 1:
		d := e.operandRoom(0, a.Rows*units)
		j.run, j.y = wordRows, d
		if a.ColStride != 1 {
			j.run = wordPlaces
		}
		e.do(a.Rows, 1+mapGrain/a.Cols)
		return Dense(d, a.Rows, units)
	}
	ld := roundUp(a.Rows, pairPanel)
	d := e.operandRoom(0, units*ld)
	j.run, j.y = wordColumns, d
	e.do(units, roundUp(1+mapGrain/(e.half.per*a.Rows), 2)) // no pair is split
	return Matrix{d, a.Rows, units, 1, ld}
}

// wordPlaces is wordRows of a matrix with any strides.
func wordPlaces(e *Engine, j *job, _, lo, hi int) {
	a, units := j.mat, e.half.units(j.mat.Cols)
	for i := lo; i < hi; i++ {
		for p := range units {
			j.y[i*units+p] = e.half.word(a.Data[i*a.RowStride:], a.ColStride, a.Cols, p)
		}
	}
}

// word is the p-th of n numbers that are step apart.
func (h half) word(x []float32, step, n, p int) float32 {
	p *= h.per
	if p >= n { // after an odd number
		return 0
	}
	u := math.Float32bits(halfOf(x[p*step]))
	if h.pairs && p+1 < n {
		u |= math.Float32bits(halfOf(x[(p+1)*step])) >> 16
	}
	return math.Float32frombits(u)
}

// pairPanel is how many words pairRows writes at least.
const pairPanel = 32

// wordColumns writes rows [lo, hi) of words of a matrix whose columns are
// contiguous.
func wordColumns(e *Engine, j *job, _, lo, hi int) {
	a := j.mat
	ld := roundUp(a.Rows, pairPanel)
	e.belowEachOther(j.y[lo*ld:], a.Data[lo*e.half.per*a.ColStride:], a.ColStride, min(a.Cols, hi*e.half.per)-lo*e.half.per, a.Rows, ld, pairPanel)
}

// belowEachOther makes words of rows of n numbers, sld apart, each with that of the
// next row: panels of 32 columns are step apart, their rows ld, and all 32 written.
func (e *Engine) belowEachOther(d, src []float32, sld, rows, n, ld, step int) {
	if e.half.pairs {
		pairRows(d, src, sld, rows, n, ld, step)
		return
	}
	for i := range rows {
		for j := 0; j < n; j += pairPanel {
			w := min(pairPanel, n-j)
			to := d[j/pairPanel*step+i*ld:][:w]
			e.ops.toHalf(to, src[i*sld+j:i*sld+j+w])
		}
	}
	if rows%2 != 0 {
		for j := 0; j < n; j += pairPanel {
			clear(d[j/pairPanel*step+rows*ld:][:min(pairPanel, n-j)])
		}
	}
}

// packWords is pack for words: k0 is even, depth counts words.
func (e *Engine) packWords(worker int, d []float32, b Matrix, k0, k1, j0, j1, depth int) {
	nr := e.ops.nr
	rows, n := k1-k0, j1-j0
	src := b.Data[k0*b.RowStride+j0*b.ColStride:]
	switch {
	case !e.half.pairs:
		e.packFloats(d, b, k0, k1, j0, j1, depth)
		for j := 0; j < n; j += nr {
			p := d[j*depth:]
			e.ops.toHalf(p[:rows*nr], p[:rows*nr])
			clear(p[rows*nr : e.half.units(rows)*nr])
		}
	case b.ColStride == 1:
		pairRows(d, src, b.RowStride, rows, n, nr, depth*nr)
	case b.RowStride == 1:
		for j := 0; j < n; j += nr {
			e.pairColumns(worker, d[j*depth:], src[j*b.ColStride:], b.ColStride, rows, min(nr, n-j))
		}
	default:
		for j := 0; j < n; j += nr {
			w := min(nr, n-j)
			for p := range e.half.units(rows) {
				row := d[j*depth+p*nr:][:nr]
				for q := range w {
					row[q] = e.half.word(src[(j+q)*b.ColStride:], b.RowStride, rows, p)
				}
				clear(row[w:])
			}
		}
	}
}

// pairDeep is how many words of a column pairColumns makes at once.
const pairDeep, pairLD = 128, 132

// pairColumns packs w columns, ld apart and k long, into one panel.
func (e *Engine) pairColumns(worker int, d, src []float32, ld, k, w int) {
	nr := e.ops.nr
	t := e.columns[worker][:]
	for p := 0; p < k; p += 2 * pairDeep {
		n := min(2*pairDeep, k-p)
		pairAlong(t, src[p:], pairLD, ld, w, n)
		e.finishColumns(d[p/2*nr:], t, (n+1)/2, w)
	}
}

func (e *Engine) finishColumns(d, t []float32, units, w int) {
	nr := e.ops.nr
	transposed(e.level, d, nr, t, pairLD, w, units)
	if w < nr {
		for p := range units {
			clear(d[p*nr+w : p*nr+nr])
		}
	}
}

// packTaps packs a kernel of taps of c rows of f numbers, each tap with words of
// its own.
func (e *Engine) packTaps(d, w []float32, taps, c, f int) {
	if c%2 == 0 {
		e.packAll(d, Dense(w, taps*c, f))
		return
	}
	j := &e.job
	j.run, j.y, j.x, j.n, j.width = packTap, d, w, c, f
	j.mat = Matrix{Rows: taps}
	e.do(taps, max(1, packGrain/max(1, c*f)))
}

func packTap(e *Engine, j *job, worker, lo, hi int) {
	units := e.half.units(j.n)
	for t := lo; t < hi; t++ {
		e.pack(worker, tail(j.y, t*units*e.ops.nr), Dense(j.x[t*j.n*j.width:], j.n, j.width), 0, j.n, 0, j.width, j.mat.Rows*units)
	}
}
