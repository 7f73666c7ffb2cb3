package kernel

import (
	"slices"
	"testing"
	"time"
)

// inTurns reports the processor time of the second over that of the first, and both
// in milliseconds, medians.
func inTurns(b *testing.B, rounds int, names [2]string, f [2]func()) float64 {
	b.Helper()
	f[0]()
	f[1]()
	var ratios []float64
	var times [2][]float64
	for b.Loop() {
		var d [2]time.Duration
		for i := range d {
			start := cpuTime()
			for range rounds {
				f[i]()
			}
			d[i] = cpuTime() - start
			times[i] = append(times[i], d[i].Seconds()*1e3/float64(rounds))
		}
		ratios = append(ratios, float64(d[1])/float64(d[0]))
	}
	slices.Sort(ratios)
	for i, name := range names {
		slices.Sort(times[i])
		b.ReportMetric(times[i][len(times[i])/2], name)
	}
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(0, "ns/op")
	return ratios[len(ratios)/2]
}

var precisions = [2]string{"float32-ms", "bf16-ms"}

// BenchmarkHalfGemm compares products of bfloat16 with those of float32.
func BenchmarkHalfGemm(b *testing.B) {
	var all []float64
	one, two := newEngine(b, Auto, 1), halfEngine(b, bestLevel(), 1, true)
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
		b.Run(s.name, func(b *testing.B) {
			all = append(all, inTurns(b, max(1, 5_000_000/(s.m*s.n*s.k)), precisions, [2]func(){
				func() { one.Gemm(c, s.n, am, bm, Epilogue{}) },
				func() { two.Gemm(c, s.n, am, bm, Epilogue{}) },
			}))
		})
	}
	slices.Sort(all)
	b.Logf("median of all shapes %.3f", all[len(all)/2])
}

// BenchmarkHalfConv compares convolutions of bfloat16 with those of float32.
func BenchmarkHalfConv(b *testing.B) {
	const n = 64
	one, two := newEngine(b, Auto, 1), halfEngine(b, bestLevel(), 1, true)
	for _, s := range benchConvs {
		g := s.g
		r := source(1)
		x, w, y := randoms(r, n*g.in()), randoms(r, g.depth()*g.F), randoms(r, n*g.out())
		for _, f := range []struct {
			name string
			f    func(e *Engine)
		}{
			{"forward", func(e *Engine) { e.ConvForward(y, x, w, n, g, Epilogue{}) }},
			{"input", func(e *Engine) { e.ConvInput(x, y, w, n, g, Epilogue{}) }},
			{"kernel", func(e *Engine) { e.ConvKernel(w, x, y, n, g) }},
		} {
			b.Run(s.name+"/"+f.name, func(b *testing.B) {
				inTurns(b, 1, precisions, [2]func(){func() { f.f(one) }, func() { f.f(two) }})
			})
		}
	}
}

// BenchmarkHalfFew compares, in bfloat16, the kernels for few channels with products
// over columns: what halfRules go by.
func BenchmarkHalfFew(b *testing.B) {
	few, columns := halfEngine(b, bestLevel(), 1, true), halfEngine(b, bestLevel(), 1, true)
	columns.few = false
	for _, s := range fewConvs {
		g, n := s.g, 64
		if s.name == "photo" {
			n = 4
		}
		r := source(1)
		x, w, y := randoms(r, n*g.in()), randoms(r, g.depth()*g.F), randoms(r, n*g.out())
		for _, f := range []struct {
			name string
			form form
			f    func(e *Engine)
		}{
			{"forward", g.forwardForm(AVX512, true), func(e *Engine) { e.ConvForward(y, x, w, n, g, Epilogue{}) }},
			{"input", g.inputForm(AVX512, true), func(e *Engine) { e.ConvInput(x, y, w, n, g, Epilogue{}) }},
			{"kernel", g.kernelForm(AVX512, true), func(e *Engine) { e.ConvKernel(w, x, y, n, g) }},
		} {
			if f.form == byColumns {
				continue
			}
			b.Run(s.name+"/"+f.name, func(b *testing.B) {
				inTurns(b, 1, [2]string{"few-ms", "columns-ms"}, [2]func(){func() { f.f(few) }, func() { f.f(columns) }})
			})
		}
	}
}
