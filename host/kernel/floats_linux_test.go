package kernel

import (
	"slices"
	"testing"
	"time"
)

func TestFloats(t *testing.T) {
	for _, n := range []int{0, 1, largeFloats - 1, largeFloats, largeFloats + 1, 5*largeFloats/2 + 3} {
		d := Floats(n)
		if len(d) != n {
			t.Fatalf("%d numbers, want %d", len(d), n)
		}
		for i, v := range d {
			if v != 0 {
				t.Fatalf("number %d of %d is %v", i, n, v)
			}
		}
		for i := range d {
			d[i] = float32(i)
		}
	}
}

// BenchmarkHugePages reports the processor time in memory of Floats over that in
// ordinary memory, in turns.
func BenchmarkHugePages(b *testing.B) {
	e := newEngine(b, bestLevel(), 1)
	takes := [2]func(int) []float32{func(n int) []float32 { return make([]float32, n) }, Floats}
	type work struct {
		name string
		make func(take func(int) []float32) func()
	}
	gemm := func(m, n, k int, ta, tb bool) func(func(int) []float32) func() {
		return func(take func(int) []float32) func() {
			x, w, c := Dense(take(m*k), m, k), Dense(take(k*n), k, n), take(m*n)
			if ta {
				x = Dense(x.Data, k, m).T()
			}
			if tb {
				w = Dense(w.Data, n, k).T()
			}
			return func() { e.Gemm(c, n, x, w, Epilogue{}) }
		}
	}
	for _, w := range []work{
		{"adam", func(take func(int) []float32) func() {
			const n = 20_850_000
			p, g, m, v := take(n), take(n), take(n), take(n)
			return func() { e.Adam(p, g, m, v, AdamStep{}) }
		}},
		{"conv2", gemm(4096, 128, 1024, false, false)},
		{"conv3-dx", gemm(1024, 2048, 512, false, true)},
		{"heads", gemm(64, 1024, 8192, false, false)},
		{"heads-dw", gemm(8192, 1024, 64, true, false)},
		{"heads-dx", gemm(64, 8192, 1024, false, true)},
		{"up1-dx", gemm(1024, 4096, 128, false, true)},
		{"square", gemm(2048, 2048, 2048, false, false)},
	} {
		var f [2]func()
		for i, take := range takes {
			f[i] = w.make(take)
			f[i]()
		}
		b.Run(w.name, func(b *testing.B) {
			least := [2]time.Duration{time.Hour, time.Hour}
			var ratios []float64
			for b.Loop() {
				var d [2]time.Duration
				for i := range d {
					start := cpuTime()
					f[i]()
					d[i] = cpuTime() - start
					least[i] = min(least[i], d[i])
				}
				ratios = append(ratios, float64(d[1])/float64(d[0]))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "median")
			b.ReportMetric(float64(least[1])/float64(least[0]), "least")
			b.ReportMetric(0, "ns/op")
		})
	}
}
