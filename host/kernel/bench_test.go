package kernel

import (
	"fmt"
	"testing"
	"time"
)

// benchShapes are the products of specs/bench-*.yaml, batch 64 and 128; ta, tb: transposed operands.
var benchShapes = []struct {
	name    string
	m, n, k int
	ta, tb  bool
}{
	{"tabular", 64, 32, 20, false, false},
	{"tabular-n20", 64, 20, 32, false, false},
	{"conv2", 4096, 128, 1024, false, false},
	{"conv3", 1024, 512, 2048, false, false},
	{"conv3-dw", 2048, 512, 1024, true, false},
	{"heads", 64, 2048, 8192, false, false},
	{"heads-dw", 8192, 2048, 64, true, false},
	{"heads-dx", 64, 8192, 2048, false, true},
	{"latent", 64, 2048, 1024, false, false},
	{"latent-dw", 1024, 2048, 64, true, false},
	{"latent-dx", 64, 1024, 2048, false, true},
	{"square", 1024, 1024, 1024, false, false},
	{"dense1", 128, 400, 784, false, false},
	{"dense1-dw", 784, 400, 128, true, false},
	{"dense1-dx", 128, 784, 400, false, true},
	{"dense2", 128, 784, 400, false, false},
	{"dense2-dw", 400, 784, 128, true, false},
	{"dense2-dx", 128, 400, 784, false, true},
}

// share runs f for about the benchmark's time, and the peak loop after every
// few milliseconds of it, and reports the share of the peak.
func share(b *testing.B, l Level, flop float64, f func()) {
	f()
	best, spent := 0.0, time.Duration(0)
	peak := FMAPeak(l)
	b.ResetTimer()
	for b.Loop() {
		start := time.Now()
		f()
		d := time.Since(start)
		best = max(best, flop/d.Seconds())
		if spent += d; spent > 20*time.Millisecond {
			b.StopTimer()
			peakLoop(l, 100_000)
			start := time.Now()
			fl := peakLoop(l, 200_000)
			peak = max(peak, float64(fl)/time.Since(start).Seconds())
			spent = 0
			b.StartTimer()
		}
	}
	b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
	b.ReportMetric(best/peak, "best/peak")
	b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/peak, "mean/peak")
}

func BenchmarkGemm(b *testing.B) {
	for _, l := range Levels()[1:] {
		for _, s := range benchShapes {
			b.Run(fmt.Sprintf("%s/%s", l, s.name), func(b *testing.B) {
				e := newEngine(b, l, 1)
				r := source(1)
				am := Dense(randoms(r, s.m*s.k), s.m, s.k)
				if s.ta {
					am = Dense(am.Data, s.k, s.m).T()
				}
				bm := Dense(randoms(r, s.n*s.k), s.k, s.n)
				if s.tb {
					bm = Dense(bm.Data, s.n, s.k).T()
				}
				c := make([]float32, s.m*s.n)
				rounds := max(1, 1_000_000/(s.m*s.n*s.k)) // the clock's own time
				share(b, l, float64(rounds)*2*float64(s.m)*float64(s.n)*float64(s.k), func() {
					for range rounds {
						e.Gemm(c, s.n, am, bm, Epilogue{})
					}
				})
			})
		}
	}
}
