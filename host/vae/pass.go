package vae

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Pass is the working memory of a model for batches of up to a number of
// instances with up to a number of noise samples each. It belongs to one
// goroutine, as its engine does; once made, it allocates nothing. Tensors that
// it returns are valid until the next call of the same method.
//
// In inference mode a row's numbers have the same bits in any batch.
type Pass struct {
	m              *Model
	k              *kernel.Engine
	batch, samples int
	enc, dec       *nn.Workspace

	raw     *tensor.Tensor   // of the last Decode, in the model's units
	flat    []float32        // encoder's output of the last Encode, (n, code)
	n, s    int              // of the last Forward
	first   int              // row of the batch at which Encode, Sample and Decode begin
	part    [2]tensor.Tensor // rows of x and of the noise in ForwardRows
	noise   []float32        // of the last Forward, nil: none
	scratch []float32        // a head's kernel gradient is added by products; its bias through this

	normalized, dRaw, dCode     buffer
	mu, logvar                  buffer // (n, d)
	muTiled, logvarTiled, z     buffer // (n·s, d)
	rebuilt, dx                 buffer
	dmu, dlogvar, dlogvarSample buffer
}

// NewPass plans a pass for batches of up to batch ≥ 1 instances with samples
// ≥ 1 codes each. The encoder runs once per instance, the decoder once per
// sample.
func (m *Model) NewPass(k *kernel.Engine, batch, samples int, mode nn.Mode) *Pass {
	if batch < 1 || samples < 1 {
		panic("vae: NewPass: batch or samples < 1")
	}
	p := &Pass{m: m, k: k, batch: batch, samples: samples}
	p.enc = nn.NewWorkspace(k, m.Encoder, batch, mode)
	p.dec = nn.NewWorkspace(k, m.Decoder, batch*samples, mode)
	rows, d := batch*samples, tensor.Shape{m.LatentDim}
	if m.Normalize != nil {
		p.normalized, p.dx = newBuffer(batch, m.Input), newBuffer(batch, m.Input)
		p.rebuilt, p.dRaw = newBuffer(rows, m.Input), newBuffer(rows, m.Input)
	}
	p.mu, p.dmu, p.z = newBuffer(batch, d), newBuffer(batch, d), newBuffer(rows, d)
	if m.Coding == Sampled {
		p.logvar, p.dlogvar = newBuffer(batch, d), newBuffer(batch, d)
		p.dlogvarSample = newBuffer(rows, d)
		p.dCode = newBuffer(batch, m.Encoder.Out())
		p.scratch = make([]float32, m.LatentDim)
		if samples > 1 {
			p.muTiled, p.logvarTiled = newBuffer(rows, d), newBuffer(rows, d)
		}
	}
	return p
}

// Model is the model that the pass runs.
func (p *Pass) Model() *Model { return p.m }

// Batch is the largest number of instances.
func (p *Pass) Batch() int { return p.batch }

// Samples is the largest number of codes per instance.
func (p *Pass) Samples() int { return p.samples }

// Mode is the mode given to NewPass.
func (p *Pass) Mode() nn.Mode { return p.enc.Mode }

// ParamsOnly makes Backward leave out the gradient at x, and return nil, which
// saves the first layer's: all that training needs.
func (p *Pass) ParamsOnly(on bool) { p.enc.ParamsOnly = on }

// SetDraw names the randomness of the layers in the next passes in training
// mode. The decoder takes a stream of its own.
func (p *Pass) SetDraw(d nn.Draw) {
	p.enc.Draw = d
	d.Seed ^= streamDecoder << 32
	p.dec.Draw = d
}

// Encode maps x, (n, input…), to mean and log-variance of the code, (n, d);
// logvar is nil for method ae. x must stay unchanged until Backward.
func (p *Pass) Encode(x *tensor.Tensor) (mu, logvar *tensor.Tensor) {
	n := x.N()
	if p.first+n > p.batch || !x.Example().Equal(p.m.Input) {
		panic("vae: Encode: batch or shape beyond the plan")
	}
	if f := p.m.Normalize; f != nil {
		unit := p.normalized.from(p.first, n)
		f.Apply(p.k, unit, x)
		x = unit
	}
	p.flat = p.m.Encoder.Forward(p.enc, x).Data
	mu = p.mu.from(p.first, n)
	if p.m.Coding == Plain {
		copy(mu.Data, p.flat)
		return mu, nil
	}
	logvar = p.logvar.from(p.first, n)
	p.m.mean.forward(p.k, mu.Data, p.flat, n)
	p.m.logVar.forward(p.k, logvar.Data, p.flat, n)
	return mu, logvar
}

// Decode maps codes, (rows, d), to reconstructions, (rows, input…), in the
// input's units.
func (p *Pass) Decode(z *tensor.Tensor) *tensor.Tensor {
	p.raw = p.m.Decoder.Forward(p.dec, z)
	f := p.m.Normalize
	if f == nil {
		return p.raw
	}
	out := p.rebuilt.from(p.first, z.N())
	p.k.ScaleColumns(out.Data, p.raw.Data, f.std, f.mean)
	return out
}

// Raw is the last Decode's result in the model's units: before vae.normalize
// is inverted.
func (p *Pass) Raw() *tensor.Tensor { return p.raw }

// Sample draws the codes z = μ + exp(½ logvar)·ε of the last Encode: noise is
// (n·s, d), sample j of instance i at row i·s + j; nil (and always for method
// ae): z = μ, one per row.
func (p *Pass) Sample(noise *tensor.Tensor) (z *tensor.Tensor) {
	n := p.mu.t.N()
	mu, logvar := &p.mu.t, &p.logvar.t
	p.n, p.s, p.noise = n, 1, nil
	if noise == nil || p.m.Coding == Plain {
		z = p.z.from(p.first, n)
		copy(z.Data, mu.Data)
		return z
	}
	rows := noise.N()
	if n == 0 || rows%n != 0 || rows/n > p.samples || noise.Stride() != p.m.LatentDim {
		panic("vae: Sample: noise does not fit the batch")
	}
	p.s, p.noise = rows/n, noise.Data
	if p.s > 1 {
		tile(p.muTiled.view(rows).Data, mu.Data, p.m.LatentDim, p.s)
		tile(p.logvarTiled.view(rows).Data, logvar.Data, p.m.LatentDim, p.s)
		mu, logvar = &p.muTiled.t, &p.logvarTiled.t
	}
	z = p.z.from(p.first, rows)
	p.k.Reparametrize(z.Data, mu.Data, logvar.Data, noise.Data)
	return z
}

// Forward is Encode, Sample and Decode: x, (n, input…), and noise, (n·s, d) or
// nil, give the reconstructions (n·s, input…), mean and log-variance (n, d).
func (p *Pass) Forward(x, noise *tensor.Tensor) (rebuilt, mu, logvar *tensor.Tensor) {
	mu, logvar = p.Encode(x)
	return p.Decode(p.Sample(noise)), mu, logvar
}

// ForwardRows is Forward of rows lo ≤ i < hi of a batch, for a pass with one sample: x
// and noise, which may be nil, are the whole batch's, and so is the Draw. A batch's
// parts come with its last rows first; Join ends them, before Backward. Raw is that of
// the part until then. Where a param is a Statistic the only part is the whole.
func (p *Pass) ForwardRows(x, noise *tensor.Tensor, lo, hi int) (rebuilt *tensor.Tensor) {
	p.first = lo
	p.enc.Begin(lo)
	p.dec.Begin(lo)
	x = p.rows(0, x, lo, hi)
	if noise != nil {
		noise = p.rows(1, noise, lo, hi)
	}
	rebuilt, _, _ = p.Forward(x, noise)
	p.first = 0
	return rebuilt
}

// rows shows some rows of t.
func (p *Pass) rows(i int, t *tensor.Tensor, lo, hi int) *tensor.Tensor {
	v, stride := &p.part[i], t.Stride()
	v.Shape = append(append(v.Shape[:0], hi-lo), t.Example()...)
	v.Data = t.Data[lo*stride : hi*stride]
	return v
}

// Join gives what Forward of all n rows would give, after the last of its parts.
func (p *Pass) Join(n int) (rebuilt, mu, logvar *tensor.Tensor) {
	widen := func(t *tensor.Tensor) { t.Shape[0], t.Data = n, t.Data[:n*t.Stride()] }
	widen(&p.part[0])
	p.enc.Join(n)
	p.flat = p.flat[:n*len(p.flat)/p.n]
	if p.noise != nil {
		widen(&p.part[1])
		p.noise = p.part[1].Data
	}
	p.n = n
	mu = p.mu.view(n)
	p.z.view(n)
	if p.m.Normalize != nil {
		p.normalized.view(n)
	}
	if p.m.Coding == Sampled {
		logvar = p.logvar.view(n)
	}
	p.dec.Join(n)
	widen(p.raw)
	if p.m.Normalize == nil {
		return p.raw, mu, logvar
	}
	return p.rebuilt.view(n), mu, logvar
}

// Backward maps gradients at the last Forward's results to the one at its x.
// dRebuilt may be overwritten; dMu and dLogVar may be nil. Params' gradients
// are added up in g; g == nil: the input's only.
func (p *Pass) Backward(dRebuilt, dMu, dLogVar *tensor.Tensor, g *nn.Grads) (dx *tensor.Tensor) {
	if f := p.m.Normalize; f != nil {
		raw := p.dRaw.view(dRebuilt.N())
		f.Gradient(p.k, raw, dRebuilt)
		dRebuilt = raw
	}
	return p.BackwardRaw(dRebuilt, dMu, dLogVar, g)
}

// BackwardRaw is Backward from a gradient at Raw.
func (p *Pass) BackwardRaw(dRaw, dMu, dLogVar *tensor.Tensor, g *nn.Grads) (dx *tensor.Tensor) {
	dz := p.m.Decoder.Backward(p.dec, dRaw, g)
	dx = p.m.Encoder.Backward(p.enc, p.backCode(dz.Data, dMu, dLogVar, g), g)
	f := p.m.Normalize
	if f == nil || dx == nil {
		return dx
	}
	out := p.dx.view(p.n)
	p.k.ScaleColumns(out.Data, dx.Data, f.inverse, f.zero)
	return out
}

// backCode maps the gradient at the codes to the one at the encoder's output.
func (p *Pass) backCode(dz []float32, dMu, dLogVar *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	dmu := p.dmu.view(p.n)
	sumSamples(dmu.Data, dz, p.m.LatentDim, p.s)
	if dMu != nil {
		p.k.Add(dmu.Data, dMu.Data)
	}
	if p.m.Coding == Plain {
		return p.code(dmu)
	}
	dlv := p.dlogvar.view(p.n)
	clear(dlv.Data)
	if p.noise != nil {
		each := p.dlogvarSample.view(p.n * p.s)
		logvar := p.logvar.t.Data
		if p.s > 1 {
			logvar = p.logvarTiled.t.Data
		}
		p.k.ReparametrizeGrad(each.Data, dz, logvar, p.noise)
		sumSamples(dlv.Data, each.Data, p.m.LatentDim, p.s)
	}
	if dLogVar != nil {
		p.k.Add(dlv.Data, dLogVar.Data)
	}
	dCode := p.dCode.view(p.n)
	p.m.mean.backward(p.k, dCode.Data, dmu.Data, p.flat, p.mu.t.Data, p.scratch, p.n, false, g)
	p.m.logVar.backward(p.k, dCode.Data, dlv.Data, p.flat, p.logvar.t.Data, p.scratch, p.n, true, g)
	return dCode
}

// code gives a gradient at a flat code the shape of the encoder's output.
func (p *Pass) code(d *tensor.Tensor) *tensor.Tensor {
	if len(p.m.Encoder.Out()) == 1 {
		return d
	}
	if p.dCode.data == nil {
		p.dCode = newBuffer(p.batch, p.m.Encoder.Out())
	}
	out := p.dCode.view(p.n)
	copy(out.Data, d.Data)
	return out
}

// tile repeats each row of x s times.
func tile(y, x []float32, d, s int) {
	for i := 0; i*d < len(x); i++ {
		row := x[i*d : (i+1)*d]
		for j := range s {
			copy(y[(i*s+j)*d:], row)
		}
	}
}

// sumSamples adds up the s rows of each instance, in their order.
func sumSamples(y, x []float32, d, s int) {
	for i := 0; i*d < len(y); i++ {
		row := y[i*d : (i+1)*d]
		copy(row, x[i*s*d:])
		for j := 1; j < s; j++ {
			for c, v := range x[(i*s+j)*d : (i*s+j+1)*d] {
				row[c] += v
			}
		}
	}
}

// buffer is planned memory with a view of its first rows.
type buffer struct {
	data []float32
	t    tensor.Tensor
}

func newBuffer(rows int, example tensor.Shape) buffer {
	t := tensor.From(kernel.Floats(rows*example.Size()), append(tensor.Shape{rows}, example...)...)
	return buffer{data: t.Data, t: *t}
}

// view is the first n rows; the next view of the buffer takes its place.
func (b *buffer) view(n int) *tensor.Tensor { return b.from(0, n) }

// from is n rows from the given one on; the next view takes its place.
func (b *buffer) from(first, n int) *tensor.Tensor {
	stride := b.t.Stride()
	b.t.Shape[0] = n
	b.t.Data = b.data[first*stride : (first+n)*stride]
	return &b.t
}
