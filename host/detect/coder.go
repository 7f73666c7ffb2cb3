package detect

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Autoencoder rebuilds inputs. It does not change while a detector uses it:
// all passes share it.
type Autoencoder interface {
	InputShape() tensor.Shape // of one example, in and out
	CodeWidth() int           // latent_dim
	// NewCoder plans a Coder for up to batch instances of up to samples codes
	// each, on an engine that the caller closes.
	NewCoder(e *kernel.Engine, batch, samples int) Coder
}

// Coder is an Autoencoder at work in inference mode, for one goroutine; a
// *vae.Pass is one. What it returns lies in it until the next call. Rows do
// not depend on their batch.
type Coder interface {
	// Forward rebuilds x, (n, example…), by codes z = μ + exp(½ logvar)·ε with
	// ε the rows of noise, (n·s, d), sample j of instance i at row i·s + j; a
	// nil noise means z = μ. rebuilt is (n·s, example…), mu and logvar (n, d).
	Forward(x, noise *tensor.Tensor) (rebuilt, mu, logvar *tensor.Tensor)
	// Backward maps the gradient at the last Forward's rebuilt to its x. It
	// may overwrite dRebuilt.
	Backward(dRebuilt, dMu, dLogVar *tensor.Tensor, g *nn.Grads) (dx *tensor.Tensor)
	// Decode maps codes, up to batch·samples rows of width d.
	Decode(z *tensor.Tensor) *tensor.Tensor
}

// Network is a network that answers logits: the student of method
// distillation.
type Network interface {
	InputShape() tensor.Shape
	NewRunner(e *kernel.Engine, batch int) Runner
}

// Runner is a Network at work in inference mode, for one goroutine.
type Runner interface {
	Forward(x *tensor.Tensor) *tensor.Tensor   // (n, example…) to (n, classes)
	Backward(dy *tensor.Tensor) *tensor.Tensor // of the last Forward; may overwrite dy
}

// rows is how many rows a pass's networks take at once, unless one instance
// has more samples.
const rows = 128

// coding is a Coder with the buffers around it.
type coding struct {
	Coder
	batch, samples int
	noise, grad    *tensor.Tensor // scratch of batch·samples rows
}

func newCoding(a Autoencoder, e *kernel.Engine, samples int) *coding {
	batch := max(1, rows/samples)
	return &coding{Coder: a.NewCoder(e, batch, samples), batch: batch, samples: samples,
		noise: tensor.New(batch*samples, a.CodeWidth()), grad: tensor.Batch(batch*samples, a.InputShape())}
}

// each runs Forward on all instances and samples in parts that fit. f gets the
// instances lo ≤ i < hi and the samples from ≤ s < to of the part.
func (c *coding) each(x, noise *tensor.Tensor, f func(lo, hi, from, to int, rebuilt, mu *tensor.Tensor)) {
	samples := 1
	if noise != nil {
		samples = noise.N()
	}
	for lo := 0; lo < x.N(); lo += c.batch {
		hi := min(lo+c.batch, x.N())
		for from := 0; from < samples; from += c.samples {
			to := min(from+c.samples, samples)
			rebuilt, mu, _ := c.Forward(x.Rows(lo, hi), c.tile(noise, hi-lo, from, to))
			f(lo, hi, from, to, rebuilt, mu)
		}
	}
}

// tile repeats rows from ≤ s < to of the noise for n instances.
func (c *coding) tile(noise *tensor.Tensor, n, from, to int) *tensor.Tensor {
	if noise == nil {
		return nil
	}
	out, part := c.noise.Rows(0, n*(to-from)), noise.Rows(from, to)
	for i := range n {
		copy(out.Rows(i*(to-from), out.N()).Data, part.Data)
	}
	return out
}

// rebuild writes sample s of instance i to row i·S + s of dst and the codes'
// means to mean.
func (c *coding) rebuild(dst, mean, x, noise *tensor.Tensor) {
	all := dst.N() / max(x.N(), 1)
	c.each(x, noise, func(lo, hi, from, to int, rebuilt, mu *tensor.Tensor) {
		copy(mean.Rows(lo, hi).Data, mu.Data)
		for i := lo; i < hi; i++ {
			copy(dst.Rows(i*all+from, i*all+to).Data, rebuilt.Rows((i-lo)*(to-from), (i-lo+1)*(to-from)).Data)
		}
	})
}

// pull adds to dx what comes back from d, the gradient at rebuild's dst. It
// rebuilds again: a guard keeps no activations between forward and backward.
func (c *coding) pull(dx, d, x, noise *tensor.Tensor) {
	all := d.N() / max(x.N(), 1)
	c.each(x, noise, func(lo, hi, from, to int, _, _ *tensor.Tensor) {
		part := c.grad.Rows(0, (hi-lo)*(to-from))
		for i := lo; i < hi; i++ {
			copy(part.Rows((i-lo)*(to-from), part.N()).Data, d.Rows(i*all+from, i*all+to).Data)
		}
		add(dx.Rows(lo, hi).Data, c.Backward(part, nil, nil, nil).Data)
	})
}

// decode writes the reconstructions of codes z.
func (c *coding) decode(dst, z *tensor.Tensor) {
	blocks(z.N(), c.batch*c.samples, func(lo, hi int) {
		copy(dst.Rows(lo, hi).Data, c.Decode(z.Rows(lo, hi)).Data)
	})
}

// blocks calls f over [0, n) in steps.
func blocks(n, step int, f func(lo, hi int)) {
	for lo := 0; lo < n; lo += step {
		f(lo, min(lo+step, n))
	}
}

func add(dst, src []float32) {
	for i, v := range src {
		dst[i] += v
	}
}
