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
	// each, on an engine that the caller closes.
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
	batch := max(1, rows/r.samples)
	return &coding{Coder: r.a.NewCoder(e, batch, r.samples), batch: batch, samples: r.samples,
		noise: tensor.New(batch*r.samples, r.a.CodeWidth()), grad: tensor.Batch(batch*r.samples, r.a.InputShape())}
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

// Forward implements Pass.
func (c *coding) Forward(s *Second, x, noise *tensor.Tensor) {
	all := s.Rebuilt.N() / max(x.N(), 1)
	c.each(s.ctx, x, noise, func(lo, hi, from, to int, rebuilt, mu *tensor.Tensor) {
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
	c.each(d.ctx, x, noise, func(lo, hi, from, to int, _, _ *tensor.Tensor) {
		part := c.grad.Rows(0, (hi-lo)*(to-from))
		for i := lo; i < hi; i++ {
			copy(part.Rows((i-lo)*(to-from), part.N()).Data, d.Rebuilt.Rows(i*all+from, i*all+to).Data)
		}
		add(dx.Rows(lo, hi).Data, c.Coder.Backward(part, nil, nil, nil).Data)
	})
}

// each runs the coder's Forward on all instances and samples in parts that fit.
// f gets the instances lo ≤ i < hi and the samples from ≤ s < to of the part.
func (c *coding) each(ctx context.Context, x, noise *tensor.Tensor, f func(lo, hi, from, to int, rebuilt, mu *tensor.Tensor)) {
	samples := 1
	if noise != nil {
		samples = noise.N()
	}
	for lo := 0; lo < x.N(); lo += c.batch {
		hi := min(lo+c.batch, x.N())
		for from := 0; from < samples; from += c.samples {
			to := min(from+c.samples, samples)
			rebuilt, mu := c.forward(ctx, x.Rows(lo, hi), c.tile(noise, hi-lo, from, to))
			f(lo, hi, from, to, rebuilt, mu)
		}
	}
}

// forward is the coder's, stage by stage where ctx hears of them.
func (c *coding) forward(ctx context.Context, x, noise *tensor.Tensor) (rebuilt, mu *tensor.Tensor) {
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

func add(dst, src []float32) {
	for i, v := range src {
		dst[i] += v
	}
}
