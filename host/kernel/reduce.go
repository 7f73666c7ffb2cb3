package kernel

// colGrain is how many columns a thread sums at least.
const colGrain = 64

// ColSum computes dst[j] = Σ_i x[i, j], over rows in order. len(dst) is the width.
func (e *Engine) ColSum(dst, x []float32) {
	n := rows(len(x), max(1, len(dst)))
	e.job.run, e.job.y, e.job.x, e.job.n = runColSum, dst, x, n
	e.do(len(dst), e.colGrain(len(dst), len(x)))
}

// colGrain is the parallel grain of a reduction over rows: all columns if the work is small.
func (e *Engine) colGrain(width, size int) int {
	if size < 4*mapGrain {
		return max(1, width)
	}
	return colGrain
}

func runColSum(e *Engine, j *job, _, lo, hi int) {
	if j.n == 0 {
		clear(j.y[lo:hi])
		return
	}
	e.ops.sumColumns(j.y[lo:hi], j.x[lo:], len(j.y), j.n)
}

func sumColumnsGo(d, x []float32, ld, rows int) {
	clear(d)
	for i := range rows {
		axpyGo(d, x[i*ld:i*ld+len(d)], 1)
	}
}

// ColMoments computes the mean and the biased variance of each column, each
// accumulated in float64; the variance from squared differences to the mean.
func (e *Engine) ColMoments(mean, variance, x []float32) {
	same(len(mean), len(variance))
	n := rows(len(x), max(1, len(mean)))
	if n == 0 {
		clear(mean)
		clear(variance)
		return
	}
	e.job.run, e.job.y, e.job.a, e.job.x, e.job.n = runColMoments, mean, variance, x, n
	e.do(len(mean), min(momentColumns, e.colGrain(len(mean), len(x))))
}

// momentColumns is how many columns' float64 sums are kept at once.
const momentColumns = 64

func runColMoments(e *Engine, j *job, worker, lo, hi int) {
	w := len(j.y)
	for c := lo; c < hi; c += momentColumns {
		cols := min(momentColumns, hi-c)
		sums := &e.sums[worker]
		columnSums(e.level, sums[:cols], j.x[c:], w, j.n)
		for q := range cols {
			sums[q] /= float64(j.n)
			j.y[c+q] = float32(sums[q])
		}
		columnSquares(e.level, sums[:cols], j.x[c:], w, j.n)
		for q := range cols {
			j.a[c+q] = float32(sums[q] / float64(j.n))
		}
	}
}

// columnSumsGo sums columns over rows, ld apart, in order.
func columnSumsGo(d []float64, x []float32, ld, rows int) {
	clear(d)
	for i := range rows {
		for q, v := range x[i*ld : i*ld+len(d)] {
			d[q] += float64(v)
		}
	}
}

// columnSquaresGo replaces at most momentColumns means by the sums of squared
// differences to them.
func columnSquaresGo(d []float64, x []float32, ld, rows int) {
	var s [momentColumns]float64
	for i := range rows {
		for q, v := range x[i*ld : i*ld+len(d)] {
			t := float64(v) - d[q]
			s[q] += float64(t * t)
		}
	}
	copy(d, s[:])
}

// SumSquares is Σ x², accumulated in float64 in a fixed order.
func (e *Engine) SumSquares(x []float32) float64 {
	s := &e.sums[0]
	clear(s[:8]) // of every eighth number
	whole := len(x) &^ 7
	if whole > 0 {
		squares(e.level, x[:whole], (*[8]float64)(s[:8]))
	}
	for q, v := range x[whole:] {
		s[q] += float64(v) * float64(v) // exact product: fusing changes nothing
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

// squaresGo adds the squares of x, eight at a time, to the sums.
func squaresGo(x []float32, s *[8]float64) {
	for ; len(x) >= 8; x = x[8:] {
		for q, v := range x[:8] {
			s[q] += float64(v) * float64(v)
		}
	}
}
