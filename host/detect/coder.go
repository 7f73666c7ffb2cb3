package detect

import (
	"context"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Autoencoder reconstructs inputs. It does not change while a detector uses it:
// all passes share it.
type Autoencoder interface {
	InputShape() tensor.Shape // of one example, in and out
	CodeWidth() int           // latent_dim
	// NewCoder plans a Coder for up to batch instances of up to samples codes
	// each, on an engine that belongs to it and that it need not close.
	NewCoder(e *kernel.Engine, batch, samples int) Coder
}

// Coder is an Autoencoder at work in inference mode, for one goroutine; a
// *vae.Pass is one. Its results are valid until the next call. Rows do
// not depend on their batch.
type Coder interface {
	// Forward reconstructs x, (n, example…), by codes z = μ + exp(½ logvar)·ε
	// with ε the rows of noise, (n·s, d), sample j of instance i at row i·s +
	// j; a nil noise means z = μ. rebuilt is (n·s, example…), mu and logvar (n,
	// d).
	Forward(x, noise *tensor.Tensor) (rebuilt, mu, logvar *tensor.Tensor)
	// Backward maps the gradient at the last Forward's rebuilt to its x. It
	// may overwrite dRebuilt.
	Backward(dRebuilt, dMu, dLogVar *tensor.Tensor, g *nn.Grads) (dx *tensor.Tensor)
}

var _ Coder = (*vae.Pass)(nil)

// FromVAE is a trained model as an Autoencoder.
func FromVAE(m *vae.Model) Autoencoder { return model{m} }

type model struct{ *vae.Model }

// NewCoder implements Autoencoder.
func (m model) NewCoder(e *kernel.Engine, batch, samples int) Coder {
	return m.NewPass(e, batch, samples, nn.Inference)
}

// cost is what reconstructing an instance takes.
type cost struct {
	flops   int64
	numbers int // that layers write
	params  int
}

// cost with so many samples.
func (m model) cost(samples int) cost {
	c := cost{flops: m.Encoder.FLOPs() + int64(samples)*m.Decoder.FLOPs()}
	for _, l := range m.Encoder.Layers() {
		c.numbers += l.Out().Size()
	}
	for _, l := range m.Decoder.Layers() {
		c.numbers += samples * l.Out().Size()
	}
	for _, p := range m.Model.Params() {
		c.params += len(p.Value.Data)
	}
	return c
}

// Reconstruction is the Opinion of an auto-encoder: the classifier is asked
// about one reconstruction of each input, that of the code's mean.
func Reconstruction(a Autoencoder) Opinion { return reconstruction{a, 1} }

// Sampling is the Opinion of an auto-encoder with noise: the classifier is asked
// about a number of sampled reconstructions of each input. No samples means one
// with ε = 0.
func Sampling(a Autoencoder, samples int) Noisy {
	return sampling{reconstruction{a, max(1, samples)}, samples}
}

type sampling struct {
	reconstruction
	draws int
}

// DrawNoise implements Noisy.
func (s sampling) DrawNoise(seed uint64) *tensor.Tensor {
	return DrawNoise(seed, s.draws, s.a.CodeWidth())
}

type reconstruction struct {
	a       Autoencoder
	samples int
}

// Form implements Opinion.
func (r reconstruction) Form() Form { return Form{Rebuilt: r.samples, Code: r.a.CodeWidth()} }

// Params implements Opinion: they are the auto-encoder's own business.
func (r reconstruction) Params() []*nn.Param { return nil }

// InputShape is what the detector holds the classifier's to.
func (r reconstruction) InputShape() tensor.Shape { return r.a.InputShape() }

// NewPass implements Opinion.
func (r reconstruction) NewPass(e *kernel.Engine) Pass {
	c := &coding{e: e, a: r.a, batch: max(1, rows/r.samples), samples: r.samples}
	if m, ok := r.a.(interface{ cost(samples int) cost }); ok {
		c.plan(m.cost(r.samples))
	}
	return c
}

// rows is how many rows a pass's networks take at once, unless one instance
// has more samples.
const rows = 128

// coding reconstructs all instances and samples in parts. With enough of them each thread
// takes parts through the whole network alone, so that no thread waits for another within
// a layer and what a layer writes is in its core's cache when the next one reads it. Fewer
// instances all threads take together, and what is little one thread. Of auto-encoders
// that are not this module's nothing is known, and all threads take them together.
type coding struct {
	e               *kernel.Engine
	a               Autoencoder
	batch, samples  int         // at most, of what the threads have together
	little          int         // so many instances are little
	each            int         // instances that a lane has room for; 0: no lanes
	alone, together *coder      // nil: not needed yet
	lanes           chan *coder // nil: likewise
}

const (
	// aloneFLOPs is up to how much work one thread is as quick as several, of which
	// all but the first have to wake for each layer.
	aloneFLOPs = 1 << 25
	// laneRows are the least that a lane has room for: fewer make little of params.
	laneRows = 8
	// laneNumbers bound what lanes together hold: what layers write, and as much as the
	// params for what kernels pack of them.
	laneNumbers = 1 << 26
)

// plan decides which instances are little, and whether there are lanes.
func (c *coding) plan(w cost) {
	threads := c.e.Threads()
	if threads == 1 {
		return
	}
	c.little = int(min(aloneFLOPs/max(1, w.flops), int64(c.batch)))
	each := max(1, c.batch/(2*threads), laneRows/c.samples)
	if threads*(each*w.numbers+w.params) <= laneNumbers {
		c.each = each
	}
}

// coder is a Coder with the buffers around it.
type coder struct {
	Coder
	samples     int
	noise, grad *tensor.Tensor // scratch of batch·samples rows
}

func (c *coding) coder(e *kernel.Engine, batch int) *coder {
	return &coder{Coder: c.a.NewCoder(e, batch, c.samples), samples: c.samples,
		noise: tensor.New(batch*c.samples, c.a.CodeWidth()), grad: tensor.Batch(batch*c.samples, c.a.InputShape())}
}

// Forward implements Pass.
func (c *coding) Forward(s *Second, x, noise *tensor.Tensor) {
	all := s.Rebuilt.N() / max(x.N(), 1)
	c.run(s.ctx, x, noise, func(_ *coder, lo, hi, from, to int, rebuilt, mu *tensor.Tensor) {
		if s.Code != nil {
			copy(s.Code.Rows(lo, hi).Data, mu.Data)
		}
		for i := lo; i < hi; i++ {
			copy(s.Rebuilt.Rows(i*all+from, i*all+to).Data, rebuilt.Rows((i-lo)*(to-from), (i-lo+1)*(to-from)).Data)
		}
	})
}

// Backward implements Pass. It reconstructs again: no activations are kept
// between forward and backward.
func (c *coding) Backward(dx *tensor.Tensor, d *Second, x, noise *tensor.Tensor) {
	all := d.Rebuilt.N() / max(x.N(), 1)
	c.run(d.ctx, x, noise, func(k *coder, lo, hi, from, to int, _, _ *tensor.Tensor) {
		part := k.grad.Rows(0, (hi-lo)*(to-from))
		for i := lo; i < hi; i++ {
			copy(part.Rows((i-lo)*(to-from), part.N()).Data, d.Rebuilt.Rows(i*all+from, i*all+to).Data)
		}
		add(dx.Rows(lo, hi).Data, k.Coder.Backward(part, nil, nil, nil).Data)
	})
}

// took is told of a part: instances lo ≤ i < hi and samples from ≤ s < to.
type took func(c *coder, lo, hi, from, to int, rebuilt, mu *tensor.Tensor)

// run reconstructs all instances and samples in parts that fit. Which threads do it
// matters for time alone.
func (c *coding) run(ctx context.Context, x, noise *tensor.Tensor, f took) {
	n := x.N()
	switch {
	case n == 0:
	case n <= c.little:
		if c.alone == nil {
			c.alone = c.coder(c.one(), c.little)
		}
		c.alone.part(ctx, x, noise, 0, n, f)
	case c.each > 0 && n >= c.e.Threads() && ctx == nil:
		c.inLanes(ctx, x, noise, f)
	default:
		if c.together == nil {
			c.together = c.coder(c.e, c.batch)
		}
		for lo := 0; lo < n; lo += c.batch {
			c.together.part(ctx, x, noise, lo, min(lo+c.batch, n), f)
		}
	}
}

// inLanes gives each thread about as many instances.
func (c *coding) inLanes(ctx context.Context, x, noise *tensor.Tensor, f took) {
	n, threads := x.N(), c.e.Threads()
	if c.lanes == nil {
		lanes := make(chan *coder, threads)
		for range threads {
			lanes <- c.coder(c.one(), c.each)
		}
		c.lanes = lanes
	}
	parts := (n + c.each - 1) / c.each
	parts = min(n, (parts+threads-1)/threads*threads)
	size := (n + parts - 1) / parts
	c.e.Parallel((n+size-1)/size, 1, func(lo, hi int) {
		l := <-c.lanes
		defer func() { c.lanes <- l }()
		for ; lo < hi; lo++ {
			l.part(ctx, x, noise, lo*size, min((lo+1)*size, n), f)
		}
	})
}

// one is an engine like the coding's, of one thread: it has no workers to end.
func (c *coding) one() *kernel.Engine {
	e, err := kernel.New(kernel.Options{Threads: 1, Level: c.e.Level(), Precision: c.e.Precision()})
	if err != nil {
		panic(err) // a level and a precision that c.e has
	}
	return e
}

// part reconstructs instances lo ≤ i < hi.
func (c *coder) part(ctx context.Context, x, noise *tensor.Tensor, lo, hi int, f took) {
	samples := 1
	if noise != nil {
		samples = noise.N()
	}
	for from := 0; from < samples; from += c.samples {
		to := min(from+c.samples, samples)
		rebuilt, mu := c.forward(ctx, x.Rows(lo, hi), c.tile(noise, hi-lo, from, to))
		f(c, lo, hi, from, to, rebuilt, mu)
	}
}

// forward is the coder's, stage by stage where ctx hears of them.
func (c *coder) forward(ctx context.Context, x, noise *tensor.Tensor) (rebuilt, mu *tensor.Tensor) {
	staged, ok := c.Coder.(stages)
	if ctx == nil || !ok {
		rebuilt, mu, _ = c.Coder.Forward(x, noise)
		return rebuilt, mu
	}
	_, end := begin(ctx, "encode")
	mu, _ = staged.Encode(x)
	end(nil)
	_, end = begin(ctx, "decode")
	rebuilt = staged.Decode(staged.Sample(noise))
	end(nil)
	return rebuilt, mu
}

// tile repeats rows from ≤ s < to of the noise for n instances.
func (c *coder) tile(noise *tensor.Tensor, n, from, to int) *tensor.Tensor {
	if noise == nil {
		return nil
	}
	out, part := c.noise.Rows(0, n*(to-from)), noise.Rows(from, to)
	for i := range n {
		copy(out.Rows(i*(to-from), out.N()).Data, part.Data)
	}
	return out
}

func add(dst, src []float32) {
	for i, v := range src {
		dst[i] += v
	}
}
