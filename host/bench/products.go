package bench

import (
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
)

// Product is a matrix product (m×k)·(k×n) of the network, on one thread. Those
// of convolutions are their im2col form.
type Product struct {
	M       int     `json:"m"`
	N       int     `json:"n"`
	K       int     `json:"k"`
	GFLOPS  float64 `json:"gflops"`
	Share   float64 `json:"share"`
	Best    float64 `json:"best_share"` // the fastest round, by the clock or by processor time, over the best peak: what a busy machine disturbs least
	Layer   string  `json:"layer"`      // "encoder/conv2d_0", the first that has it
	Pass    string  `json:"pass"`       // forward, kernel or input: of which the product is, or computes the gradient
	Speedup float64 `json:"speedup"`    // all threads over one; 1 for one

	transA, transB bool
}

func (p Product) flop() float64 { return 2 * float64(p.M) * float64(p.N) * float64(p.K) }

// productsOf lists the products of a training step of a batch.
func productsOf(m *vae.Model, batch int) []Product {
	var all []Product
	add := func(name string, rows, in, out int, first, swap bool) {
		y := Product{M: rows, N: out, K: in, Layer: name, Pass: "forward"}
		dw := Product{M: in, N: out, K: rows, Layer: name, Pass: "kernel", transA: true}
		dx := Product{M: rows, N: in, K: out, Layer: name, Pass: "input", transB: true}
		if swap { // a transposed convolution: forward is the other one's gradient at the input
			y.Pass, dx.Pass = "input", "forward"
		}
		all = append(all, y, dw)
		if !first || swap {
			all = append(all, dx)
		}
	}
	first := true
	var walk func(prefix string, s *nn.Sequence)
	walk = func(prefix string, s *nn.Sequence) {
		infos := nn.Describe(s)
		i := 0
		for _, l := range s.Layers() {
			for infos[i].Depth > 0 {
				i++
			}
			name := prefix + infos[i].Name
			if n, ok := l.(nn.Nested); ok {
				walk(name+"/", n.Inner())
			} else if p, ok := l.(nn.Multiplied); ok {
				rows, in, out, transposed := p.Product()
				add(name, batch*rows, in, out, first, transposed)
			}
			first = first && len(l.Params()) == 0
			i++
		}
	}
	walk("encoder/", m.Encoder)
	if m.Coding == vae.Sampled {
		for _, name := range []string{"mean", "log_var"} {
			add(name, batch, m.Encoder.Out().Size(), m.LatentDim, first, false)
		}
		first = false
	}
	walk("decoder/", m.Decoder)
	return all
}

// gemm is a product at work.
type gemm struct {
	Product
	a, b kernel.Matrix
	c    []float32
	n    int // repeats
	each []float64
	rate []float64
	fast []float64
	best float64 // by the clock or by processor time
}

func newGemm(p Product) *gemm {
	g := &gemm{Product: p, c: make([]float32, p.M*p.N)}
	g.a = kernel.Dense(random(1, p.M*p.K).Data, p.M, p.K)
	if p.transA {
		g.a = kernel.Dense(g.a.Data, p.K, p.M).T()
	}
	g.b = kernel.Dense(random(2, p.K*p.N).Data, p.K, p.N)
	if p.transB {
		g.b = kernel.Dense(g.b.Data, p.N, p.K).T()
	}
	return g
}

func (g *gemm) run(k *kernel.Engine) { k.Gemm(g.c, g.N, g.a, g.b, kernel.Epilogue{}) }

// record takes what one product took on one thread, by the clock and of processor
// time, 0 where that is not known.
func (g *gemm) record(d, cpu time.Duration, peak float64) {
	rate := g.flop() / d.Seconds()
	g.rate, g.each = append(g.rate, rate), append(g.each, rate/peak)
	if cpu > 0 {
		d = min(d, cpu)
	}
	g.best = max(g.best, g.flop()/d.Seconds())
}

// products measures each shape once, on one thread, and on all.
func (b *bench) products() error {
	one, err := kernel.New(kernel.Options{Threads: 1, Level: b.k.Level(), Precision: b.k.Precision()})
	if err != nil {
		return err
	}
	defer one.Close()
	var all []*gemm
	type shape struct {
		m, n, k int
		ta, tb  bool
	}
	seen := map[shape]bool{}
	for _, p := range productsOf(b.m, b.o.Train.BatchSize) {
		s := shape{p.M, p.N, p.K, p.transA, p.transB}
		if seen[s] {
			continue
		}
		seen[s] = true
		g := newGemm(p)
		g.run(one)
		g.n = repeats(clock(1, func() { g.run(one) }), 2*time.Millisecond)
		all = append(all, g)
	}
	err = b.rounds(func() error {
		for _, g := range all {
			peak := b.peak()
			g.run(one) // the other products have emptied the cache
			cpu := processTime()
			d := clock(g.n, func() { g.run(one) })
			g.record(d, (processTime()-cpu)/time.Duration(g.n), peak)
			if b.k.Threads() > 1 {
				g.fast = append(g.fast, float64(d)/float64(clock(g.n, func() { g.run(b.k) })))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range all {
		g.GFLOPS, g.Share, g.Speedup = median(g.rate)/1e9, median(g.each), 1
		g.Best = g.best / slices.Max(b.peaks)
		if g.fast != nil {
			g.Speedup = median(g.fast)
		}
		b.r.Gemm = append(b.r.Gemm, g.Product)
	}
	return nil
}
