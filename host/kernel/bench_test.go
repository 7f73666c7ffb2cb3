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
	{"conv1", 16384, 64, 48, false, false},
	{"conv1-dw", 48, 64, 16384, true, false},
	{"conv2", 4096, 128, 1024, false, false},
	{"conv2-dw", 1024, 128, 4096, true, false},
	{"conv2-dx", 4096, 1024, 128, false, true},
	{"conv3", 1024, 512, 2048, false, false},
	{"conv3-dw", 2048, 512, 1024, true, false},
	{"conv3-dx", 1024, 2048, 512, false, true},
	{"heads", 64, 1024, 8192, false, false},
	{"heads-dw", 8192, 1024, 64, true, false},
	{"heads-dx", 64, 8192, 1024, false, true},
	{"latent", 64, 2048, 1024, false, false},
	{"latent-dw", 1024, 2048, 64, true, false},
	{"latent-dx", 64, 1024, 2048, false, true},
	{"up1", 1024, 128, 4096, false, false},
	{"up1-dw", 4096, 128, 1024, true, false},
	{"up1-dx", 1024, 4096, 128, false, true},
	{"up2", 4096, 256, 1024, false, false},
	{"up2-dw", 1024, 256, 4096, true, false},
	{"up2-dx", 4096, 1024, 256, false, true},
	{"up3-dx", 16384, 48, 64, false, true},
	{"square", 1024, 1024, 1024, false, false},
	{"dense1", 128, 400, 784, false, false},
	{"dense1-dw", 784, 400, 128, true, false},
	{"dense1-dx", 128, 784, 400, false, true},
	{"dense2", 128, 784, 400, false, false},
	{"dense2-dw", 400, 784, 128, true, false},
	{"dense2-dx", 128, 400, 784, false, true},
}

// share runs f for about the benchmark's time, and the peak loop after every
// few milliseconds of it, and reports the share of the peak. The best is by the
// clock or by processor time, which a busy machine disturbs less.
func share(b *testing.B, l Level, flop float64, f func()) {
	f()
	best, spent := 0.0, time.Duration(0)
	peak := FMAPeak(l)
	b.ResetTimer()
	for b.Loop() {
		start, cpu := time.Now(), cpuTime()
		f()
		d := time.Since(start)
		least := d
		if cpu = cpuTime() - cpu; cpu > 0 {
			least = min(d, cpu)
		}
		best = max(best, flop/least.Seconds())
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

// benchConvs are the convolutions of specs/bench-conv.yaml at batch 64; a
// transposed one is ConvInput of the geometry with the roles swapped.
var benchConvs = []struct {
	name string
	g    Conv
}{
	{"conv1", Conv{H: 32, W: 32, C: 3, OH: 16, OW: 16, F: 64, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"conv2", Conv{H: 16, W: 16, C: 64, OH: 8, OW: 8, F: 128, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"conv3", Conv{H: 8, W: 8, C: 128, OH: 4, OW: 4, F: 512, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
	{"same3x3", Conv{H: 14, W: 14, C: 64, OH: 14, OW: 14, F: 64, KH: 3, KW: 3, SH: 1, SW: 1, Top: 1, Left: 1}},
	{"up2", Conv{H: 16, W: 16, C: 64, OH: 8, OW: 8, F: 256, KH: 4, KW: 4, SH: 2, SW: 2, Top: 1, Left: 1}},
}

func BenchmarkConv(b *testing.B) {
	const n = 64
	for _, l := range Levels()[1:] {
		for _, s := range benchConvs {
			g := s.g
			r := source(1)
			x, w, y := randoms(r, n*g.in()), randoms(r, g.depth()*g.F), randoms(r, n*g.out())
			flop := 2 * float64(n*g.OH*g.OW) * float64(g.depth()*g.F)
			e := newEngine(b, l, 1)
			for name, f := range map[string]func(){
				"forward": func() { e.ConvForward(y, x, w, n, g, Epilogue{}) },
				"input":   func() { e.ConvInput(x, y, w, n, g, Epilogue{}) },
				"kernel":  func() { e.ConvKernel(w, x, y, n, g) },
			} {
				b.Run(fmt.Sprintf("%s/%s/%s", l, s.name, name), func(b *testing.B) { share(b, l, flop, f) })
			}
		}
	}
}

// BenchmarkThreads compares two threads with one.
func BenchmarkThreads(b *testing.B) {
	for _, s := range benchShapes {
		if s.m*s.n*s.k < 5_000_000 {
			continue
		}
		b.Run(s.name, func(b *testing.B) {
			r := source(1)
			am, bm := Dense(randoms(r, s.m*s.k), s.m, s.k), Dense(randoms(r, s.n*s.k), s.k, s.n)
			if s.ta {
				am = Dense(am.Data, s.k, s.m).T()
			}
			if s.tb {
				bm = Dense(bm.Data, s.n, s.k).T()
			}
			c := make([]float32, s.m*s.n)
			e1, e2 := newEngine(b, Auto, 1), newEngine(b, Auto, 2)
			best := [2]time.Duration{time.Hour, time.Hour}
			for b.Loop() {
				for i, e := range []*Engine{e1, e2} {
					start := time.Now()
					e.Gemm(c, s.n, am, bm, Epilogue{})
					best[i] = min(best[i], time.Since(start))
				}
			}
			b.ReportMetric(float64(best[0])/float64(best[1]), "speed-up")
		})
	}
}

// BenchmarkRow multiplies one row with a large matrix: scoring one example.
func BenchmarkRow(b *testing.B) {
	for _, s := range [][2]int{{8192, 2048}, {1024, 2048}, {784, 400}, {2048, 16}} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%dx%d/%d", s[0], s[1], threads), func(b *testing.B) {
				e := newEngine(b, Auto, threads)
				r := source(1)
				x, w, y := randoms(r, s[0]), randoms(r, s[0]*s[1]), make([]float32, s[1])
				for b.Loop() {
					e.Gemm(y, s[1], Dense(x, 1, s[0]), Dense(w, s[0], s[1]), Epilogue{})
				}
				b.ReportMetric(4*float64(len(w))*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
			})
		}
	}
}

// BenchmarkMaps reports nanoseconds for each element of a map over L2.
func BenchmarkMaps(b *testing.B) {
	for _, l := range Levels() {
		e := newEngine(b, l, 1)
		r := source(1)
		const n = 1 << 16
		x, y, z, w := randoms(r, n), randoms(r, n), randoms(r, n), make([]float32, n)
		per := func(name string, f func()) {
			b.Run(l.String()+"/"+name, func(b *testing.B) {
				for b.Loop() {
					f()
				}
				b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/n, "ns/element")
			})
		}
		per("exp", func() { e.Exp(y, x) })
		per("log", func() { e.Log(y, x) })
		per("tanh", func() { e.Activate(y, x, Act{Kind: Tanh}) })
		per("sigmoid", func() { e.Activate(y, x, Act{Kind: Sigmoid}) })
		per("softplus", func() { e.Activate(y, x, Act{Kind: Softplus}) })
		per("gelu", func() { e.Activate(y, x, Act{Kind: GELU}) })
		per("relu-grad", func() { e.ActivateGrad(y, z, nil, x, Act{Kind: ReLU}) })
		per("adam", func() { e.Adam(y, x, z, w, AdamStep{.9, .999, 1e-7, .001, 0}) })
		per("softmax10", func() { e.Softmax(y[:n-6], x[:n-6], 10) })
		per("softmax1000", func() { e.Softmax(y[:65000], x[:65000], 1000) })
		per("colsum64", func() { e.ColSum(w[:64], x) })
		per("moments64", func() { e.ColMoments(w[:64], w[64:128], x) })
		per("sum-squares", func() { e.SumSquares(x) })
		per("uniform", func() { e.Uniform(y, Key{}, 0) })
		per("normal", func() { e.Normal(y, Key{}, 0) })
		p := Pool{H: 16, W: 16, C: 64, OH: 8, OW: 8, KH: 2, KW: 2, SH: 2, SW: 2}
		arg := make([]int32, n/4)
		per("maxpool", func() { e.MaxPool(y[:n/4], arg, x, 4, p) })
		per("maxpool-grad", func() { e.MaxPoolGrad(y, x[:n/4], arg, 4, p) })
		per("avgpool", func() { e.AvgPool(y[:n/4], x, 4, p) })
	}
}

// BenchmarkConvOne is a convolution of one image with many filters.
func BenchmarkConvOne(b *testing.B) {
	for _, s := range benchConvs {
		g := s.g
		e := newEngine(b, Auto, 1)
		r := source(1)
		x, w, y := randoms(r, g.in()), randoms(r, g.depth()*g.F), randoms(r, g.out())
		flop := 2 * float64(g.OH*g.OW) * float64(g.depth()*g.F)
		b.Run(s.name+"/forward", func(b *testing.B) {
			share(b, e.Level(), flop, func() { e.ConvForward(y, x, w, 1, g, Epilogue{}) })
		})
		b.Run(s.name+"/input", func(b *testing.B) {
			share(b, e.Level(), flop, func() { e.ConvInput(x, y, w, 1, g, Epilogue{}) })
		})
	}
}
