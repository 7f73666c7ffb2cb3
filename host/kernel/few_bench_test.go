package kernel

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// fewConvs are convolutions of the shipped specs with few channels on one side.
var fewConvs = []struct {
	name string
	g    Conv
}{
	{"fashion/conv0", Conv{H: 28, W: 28, C: 1, OH: 14, OW: 14, F: 16, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"fashion/conv1", Conv{H: 14, W: 14, C: 16, OH: 7, OW: 7, F: 32, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"fashion/conv2", Conv{H: 7, W: 7, C: 32, OH: 4, OW: 4, F: 64, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"fashion/up2", Conv{H: 14, W: 14, C: 16, OH: 7, OW: 7, F: 16, KH: 3, KW: 3, SH: 2, SW: 2, Top: 0, Left: 0}},
	{"fashion/up3", Conv{H: 28, W: 28, C: 8, OH: 14, OW: 14, F: 16, KH: 3, KW: 3, SH: 2, SW: 2, Top: 0, Left: 0}},
	{"fashion/up4", Conv{H: 28, W: 28, C: 1, OH: 28, OW: 28, F: 8, KH: 3, KW: 3, SH: 1, SW: 1, Top: 1, Left: 1}},
	{"fashion/cnn", Conv{H: 28, W: 28, C: 1, OH: 28, OW: 28, F: 64, KH: 2, KW: 2, SH: 1, SW: 1}},
	{"mnist/up", Conv{H: 28, W: 28, C: 1, OH: 14, OW: 14, F: 64, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"bench/conv1", Conv{H: 32, W: 32, C: 3, OH: 16, OW: 16, F: 64, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"bench/up3", Conv{H: 32, W: 32, C: 3, OH: 16, OW: 16, F: 256, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"photo", Conv{H: 224, W: 224, C: 3, OH: 112, OW: 112, F: 32, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"nine64", Conv{H: 28, W: 28, C: 1, OH: 28, OW: 28, F: 64, KH: 3, KW: 3, SH: 1, SW: 1, Top: 1, Left: 1}},
	{"rgb64", Conv{H: 32, W: 32, C: 64, OH: 32, OW: 32, F: 3, KH: 3, KW: 3, SH: 1, SW: 1, Top: 1, Left: 1}},
	{"twelve", Conv{H: 28, W: 28, C: 12, OH: 14, OW: 14, F: 24, KH: 3, KW: 3, SH: 2, SW: 2}},
	{"six", Conv{H: 28, W: 28, C: 6, OH: 14, OW: 14, F: 48, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"eight", Conv{H: 32, W: 32, C: 8, OH: 16, OW: 16, F: 64, KH: 3, KW: 3, SH: 2, SW: 2}},
	{"three", Conv{H: 32, W: 32, C: 32, OH: 32, OW: 32, F: 3, KH: 3, KW: 3, SH: 1, SW: 1, Top: 1, Left: 1}},
}

// BenchmarkFew reports the processor time of the kernels for few channels over
// that of products over columns, in turns: the median of the rounds, and the
// least of each side.
func BenchmarkFew(b *testing.B) {
	for _, l := range Levels()[1:] {
		for _, s := range fewConvs {
			g, n := s.g, 64
			if s.name == "photo" {
				n = 4
			}
			r := source(1)
			x, w, y := randoms(r, n*g.in()), randoms(r, g.depth()*g.F), randoms(r, n*g.out())
			e := newEngine(b, l, 1)
			for _, way := range []struct {
				name string
				f    func()
			}{
				{"forward", func() { e.ConvForward(y, x, w, n, g, Epilogue{}) }},
				{"input", func() { e.ConvInput(x, y, w, n, g, Epilogue{}) }},
				{"kernel", func() { e.ConvKernel(w, x, y, n, g) }},
			} {
				b.Run(fmt.Sprintf("%s/%s/%s", l, s.name, way.name), func(b *testing.B) {
					var ratios []float64
					least := [2]time.Duration{time.Hour, time.Hour}
					for b.Loop() {
						var d [2]time.Duration
						for i := range d {
							e.few = i == 1
							way.f()
							start := cpuTime()
							way.f()
							d[i] = cpuTime() - start
							least[i] = min(least[i], d[i])
						}
						ratios = append(ratios, float64(d[1])/float64(d[0]))
					}
					slices.Sort(ratios)
					flop := 2 * float64(n*g.OH*g.OW) * float64(g.depth()*g.F)
					b.ReportMetric(ratios[len(ratios)/2], "median")
					b.ReportMetric(float64(least[1])/float64(least[0]), "least")
					b.ReportMetric(flop/least[1].Seconds()/1e9, "GFLOP/s")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
