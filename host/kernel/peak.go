package kernel

import (
	"slices"
	"time"
)

// FMAPeak measures how many floating-point operations a second one thread can
// do at the level, by a loop of independent multiply-adds in registers: the
// best of several runs of about a millisecond. A multiply-add counts as two.
// The level must be one of Levels.
func FMAPeak(l Level) float64 {
	best, _ := FMAPeaks(l)
	return best
}

// FMAPeaks is FMAPeak with the runs' median, which is what a busy machine lets a
// thread have for longer than a moment.
func FMAPeaks(l Level) (best, median float64) {
	if opsOf(l) == nil {
		panic("kernel: FMAPeak: level not available")
	}
	var runs [8]float64
	for i := range runs {
		start := time.Now()
		flop := peakLoop(l, 500_000)
		runs[i] = float64(flop) / time.Since(start).Seconds()
	}
	slices.Sort(runs[:])
	return runs[7], (runs[3] + runs[4]) / 2
}

// peakGo is the loop in Go: eight scalar chains.
func peakGo(n int) (flop int) {
	var a, b, c, d, e, f, g, h float32 = 1, 2, 3, 4, 5, 6, 7, 8
	const s, t = .5, .25
	for range n {
		a = float32(a*s) + t
		b = float32(b*s) + t
		c = float32(c*s) + t
		d = float32(d*s) + t
		e = float32(e*s) + t
		f = float32(f*s) + t
		g = float32(g*s) + t
		h = float32(h*s) + t
	}
	if a+b+c+d+e+f+g+h == 0 { // never: keeps the loop
		return 0
	}
	return n * 8 * 2
}
