package kernel

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkPlainLoads reports the processor time of products with plain loads of b
// over that with masked ones, in turns.
func BenchmarkPlainLoads(b *testing.B) {
	defer func() { maskedLoads = false }()
	var all []float64
	e := newEngine(b, AVX512, 1)
	for _, s := range benchShapes {
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
		rounds := max(1, 5_000_000/(s.m*s.n*s.k))
		b.Run(s.name, func(b *testing.B) {
			least := [2]time.Duration{time.Hour, time.Hour}
			var ratios []float64
			for b.Loop() {
				var d [2]time.Duration
				for i := range d {
					maskedLoads = i == 0
					start := cpuTime()
					for range rounds {
						e.Gemm(c, s.n, am, bm, Epilogue{})
					}
					d[i] = cpuTime() - start
					least[i] = min(least[i], d[i])
				}
				ratios = append(ratios, float64(d[1])/float64(d[0]))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "median")
			b.ReportMetric(float64(least[1])/float64(least[0]), "least")
			b.ReportMetric(0, "ns/op")
			all = append(all, ratios[len(ratios)/2])
		})
	}
	slices.Sort(all)
	b.Logf("median of all shapes %.3f", all[len(all)/2])
}
