package bench

import (
	"math"
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Layer is one layer of the auto-encoder in training, at the batch size of
// training and on all threads.
type Layer struct {
	Name     string  `json:"name"`
	Forward  float64 `json:"forward_ms"`
	Backward float64 `json:"backward_ms"` // params and input, as training needs them
	Share    float64 `json:"share"`       // of the threads' peak, both passes
	Best     float64 `json:"best_share"`  // the fastest rounds over the best peak of all
	MFLOP    float64 `json:"mflop"`       // of the batch, both passes
}

// timed is a layer under measurement.
type timed struct {
	Layer
	flop          float64
	forward, back []float64
	shares        []float64
}

func (t *timed) record(forward, back time.Duration, peak float64) {
	t.forward, t.back = append(t.forward, ms(forward)), append(t.back, ms(back))
	t.shares = append(t.shares, t.flop/(forward+back).Seconds()/peak)
}

// chain is a Sequence whose layers are measured one by one.
type chain struct {
	seq    *nn.Sequence
	w      *nn.Workspace
	grads  *nn.Grads
	x, dy  *tensor.Tensor
	start  *tensor.Tensor // what dy is before a pass
	layers []*timed
	spent  []time.Duration
	only   bool // the gradient at the first layer's input is not wanted
}

func newChain(k *kernel.Engine, prefix string, s *nn.Sequence, batch int, only bool) *chain {
	c := &chain{seq: s, w: nn.NewWorkspace(k, s, batch, nn.Training), grads: nn.NewGrads(s.Params()), only: only}
	c.x = random(3, append([]int{batch}, s.In()...)...)
	c.start = random(4, append([]int{batch}, s.Out()...)...)
	c.dy = c.start.Clone()
	c.spent = make([]time.Duration, len(s.Layers()))
	for i, flop := range passFLOP(s, only) {
		c.layers = append(c.layers, &timed{flop: flop * float64(batch)})
		c.layers[i].MFLOP = flop * float64(batch) / 1e6
	}
	i := 0
	for _, info := range nn.Describe(s) {
		if info.Depth == 0 {
			c.layers[i].Name = prefix + info.Name
			i++
		}
	}
	return c
}

// passFLOP is the arithmetic of each layer in a training step of one example:
// forward, the gradient at the params and the one at the input. With only, that
// is not wanted of the first layer with params, and none of those before.
func passFLOP(s *nn.Sequence, only bool) []float64 {
	first := firstWithParams(s)
	var out []float64
	for _, info := range nn.Describe(s) {
		if info.Depth > 0 {
			continue
		}
		i, passes := len(out), 2.0
		if len(s.Layers()[i].Params()) > 0 {
			passes = 3
		}
		if only && i <= first {
			passes--
		}
		out = append(out, passes*float64(info.FLOPs))
	}
	return out
}

// firstWithParams is the first layer with params; without any, a number above all.
func firstWithParams(s *nn.Sequence) int {
	for i, l := range s.Layers() {
		if len(l.Params()) > 0 {
			return i
		}
	}
	return math.MaxInt
}

// round measures every layer once.
func (c *chain) round(peak float64) {
	c.grads.Zero()
	copy(c.dy.Data, c.start.Data)
	x := c.x
	for i, l := range c.seq.Layers() {
		start := time.Now()
		x = l.Forward(c.w, x)
		c.spent[i] = time.Since(start)
	}
	dy := c.dy
	first := firstWithParams(c.seq)
	for i := len(c.layers) - 1; i >= 0; i-- {
		back := time.Duration(0)
		if !c.only || i >= first {
			c.w.ParamsOnly = c.only && i == first
			start := time.Now()
			dy = c.seq.Layers()[i].Backward(c.w, dy, c.grads)
			back = time.Since(start)
		}
		c.layers[i].record(c.spent[i], back, peak)
	}
}

// heads are the two dense heads, measured as what they do: products.
type heads struct {
	layers    []*timed
	in, out   int
	batch     int
	x, w, dw  []float32
	y, dy, dx []float32
	bias      []float32
}

func newHeads(m *vae.Model, batch int) *heads {
	h := &heads{in: m.Encoder.Out().Size(), out: m.LatentDim, batch: batch}
	h.x, h.dx = random(5, batch*h.in).Data, make([]float32, batch*h.in)
	h.y, h.dy = make([]float32, batch*h.out), random(6, batch*h.out).Data
	h.w, h.dw, h.bias = random(7, h.in*h.out).Data, make([]float32, h.in*h.out), make([]float32, h.out)
	for _, name := range []string{"mean", "log_var"} {
		t := &timed{flop: 6 * float64(batch) * float64(h.in) * float64(h.out)}
		t.Name, t.MFLOP = name, t.flop/1e6
		h.layers = append(h.layers, t)
	}
	return h
}

func (h *heads) round(k *kernel.Engine, peak float64) {
	x, w, d := kernel.Dense(h.x, h.batch, h.in), kernel.Dense(h.w, h.in, h.out), kernel.Dense(h.dy, h.batch, h.out)
	for i, t := range h.layers {
		start := time.Now()
		k.Gemm(h.y, h.out, x, w, kernel.Epilogue{Bias: h.bias})
		forward := time.Since(start)
		k.Gemm(h.dw, h.out, x.T(), d, kernel.Epilogue{Accumulate: true})
		k.ColSum(h.bias, h.dy)
		k.Gemm(h.dx, h.in, d, w.T(), kernel.Epilogue{Accumulate: i > 0})
		t.record(forward, time.Since(start)-forward, peak)
	}
	clear(h.dw)
	clear(h.bias)
}

// layers measures each layer forward and backward.
func (b *bench) layers() error {
	batch := b.o.Train.BatchSize
	enc := newChain(b.k, "encoder/", b.m.Encoder, batch, true)
	dec := newChain(b.k, "decoder/", b.m.Decoder, batch, false)
	var h *heads
	if b.m.Coding == vae.Sampled {
		h = newHeads(b.m, batch)
	}
	warm := true
	err := b.rounds(func() error {
		peak := b.peak() * float64(b.k.Threads())
		enc.round(peak)
		if h != nil {
			h.round(b.k, peak)
		}
		dec.round(peak)
		if warm { // the first pass takes the memory
			warm = false
			for _, t := range b.timed(enc, h, dec) {
				t.forward, t.back, t.shares = nil, nil, nil
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range b.timed(enc, h, dec) {
		t.Forward, t.Backward, t.Share = median(t.forward), median(t.back), median(t.shares)
		if least := slices.Min(t.forward) + slices.Min(t.back); least > 0 {
			t.Best = t.flop / least * 1e3 / (slices.Max(b.peaks) * float64(b.k.Threads()))
		}
		b.r.Layers = append(b.r.Layers, t.Layer)
	}
	return nil
}

func (b *bench) timed(enc *chain, h *heads, dec *chain) []*timed {
	all := append([]*timed(nil), enc.layers...)
	if h != nil {
		all = append(all, h.layers...)
	}
	return append(all, dec.layers...)
}
