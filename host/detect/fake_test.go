package detect

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// fakeVAE is x' = ½ + ½ tanh(W_d·z), z = W_m·x + exp(½·W_v·x)·ε, row by row in
// float64.
type fakeVAE struct {
	shape      tensor.Shape
	d          int
	wm, wv, wd []float64
	plain      bool // no log-variance: method ae
}

func newFakeVAE(shape tensor.Shape, d int, plain bool) *fakeVAE {
	r := rand.New(rand.NewPCG(11, 12))
	draw := func(n, fan int) []float64 {
		w := make([]float64, n)
		for i := range w {
			w[i] = r.NormFloat64() / math.Sqrt(float64(fan))
		}
		return w
	}
	n := shape.Size()
	return &fakeVAE{shape: shape, d: d, wm: draw(n*d, n), wv: draw(n*d, n), wd: draw(n*d, d), plain: plain}
}

func (f *fakeVAE) InputShape() tensor.Shape { return f.shape }
func (f *fakeVAE) CodeWidth() int           { return f.d }
func (f *fakeVAE) NewCoder(_ *kernel.Engine, batch, samples int) Coder {
	return &fakeCoder{f: f, batch: batch, samples: samples}
}

type fakeCoder struct {
	f              *fakeVAE
	batch, samples int
	x, noise, y    *tensor.Tensor
	logvar         *tensor.Tensor
}

func matVec(w []float64, x []float32, out int) []float32 {
	y := make([]float32, out)
	for o := range y {
		s := 0.0
		for i, v := range x {
			s += w[o*len(x)+i] * float64(v)
		}
		y[o] = float32(s)
	}
	return y
}

func (c *fakeCoder) Forward(x, noise *tensor.Tensor) (rebuilt, mu, logvar *tensor.Tensor) {
	n, d, s := x.N(), c.f.d, 1
	if noise != nil {
		s = noise.N() / n
	}
	if n > c.batch || s > c.samples {
		panic("fake: beyond the plan")
	}
	mu, logvar = tensor.New(n, d), tensor.New(n, d)
	z := tensor.New(n*s, d)
	for i := range n {
		copy(mu.Row(i), matVec(c.f.wm, x.Row(i), d))
		copy(logvar.Row(i), matVec(c.f.wv, x.Row(i), d))
		for r := i * s; r < i*s+s; r++ {
			copy(z.Row(r), mu.Row(i))
			for j := range d {
				if noise != nil {
					z.Row(r)[j] += float32(math.Exp(0.5*float64(logvar.Row(i)[j])) * float64(noise.Row(r)[j]))
				}
			}
		}
	}
	c.x, c.noise, c.logvar, c.y = x, noise, logvar, c.Decode(z)
	if c.f.plain {
		logvar = nil
	}
	return c.y, mu, logvar
}

func (c *fakeCoder) Decode(z *tensor.Tensor) *tensor.Tensor {
	y := tensor.Batch(z.N(), c.f.shape)
	for r := range z.N() {
		for i, v := range matVec(c.f.wd, z.Row(r), c.f.shape.Size()) {
			y.Row(r)[i] = float32(0.5 + 0.5*math.Tanh(float64(v)))
		}
	}
	return y
}

func (c *fakeCoder) Backward(dy, _, _ *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	dx := tensor.New(c.x.Shape...)
	s, n := c.y.N()/c.x.N(), c.x.Stride()
	for r := range c.y.N() {
		i := r / s
		for j := range c.f.d {
			dz := 0.0
			for o, v := range c.y.Row(r) {
				t := 2*float64(v) - 1
				dz += float64(dy.Row(r)[o]) * 0.5 * (1 - t*t) * c.f.wd[o*c.f.d+j]
			}
			dlv := 0.0
			if c.noise != nil {
				dlv = dz * float64(c.noise.Row(r)[j]) * 0.5 * math.Exp(0.5*float64(c.logvar.Row(i)[j]))
			}
			for k := range n {
				dx.Row(i)[k] += float32(dz*c.f.wm[j*n+k] + dlv*c.f.wv[j*n+k])
			}
		}
	}
	return dx
}

// fakeStudent answers W·x.
type fakeStudent struct {
	shape tensor.Shape
	w     []float64
	k     int
}

func newFakeStudent(shape tensor.Shape, k int) *fakeStudent {
	r := rand.New(rand.NewPCG(21, 22))
	w := make([]float64, shape.Size()*k)
	for i := range w {
		w[i] = r.NormFloat64()
	}
	return &fakeStudent{shape, w, k}
}

func (f *fakeStudent) Form() Form                  { return Form{Logits: true} }
func (f *fakeStudent) Params() []*nn.Param         { return nil }
func (f *fakeStudent) NewPass(*kernel.Engine) Pass { return f }
func (f *fakeStudent) Forward(s *Second, x, _ *tensor.Tensor) {
	copy(s.Logits.Data, f.apply(x, f.k, false).Data)
}
func (f *fakeStudent) Backward(dx *tensor.Tensor, d *Second, _, _ *tensor.Tensor) {
	add(dx.Data, f.apply(d.Logits, f.shape.Size(), true).Data)
}

// fakeVersions makes two versions of an input without a code: x² and x/2.
type fakeVersions struct{}

func (fakeVersions) Form() Form                  { return Form{Rebuilt: 2} }
func (fakeVersions) Params() []*nn.Param         { return nil }
func (fakeVersions) NewPass(*kernel.Engine) Pass { return fakeVersions{} }
func (fakeVersions) Forward(s *Second, x, _ *tensor.Tensor) {
	for i := range x.N() {
		for j, v := range x.Row(i) {
			s.Rebuilt.Row(2 * i)[j], s.Rebuilt.Row(2*i + 1)[j] = v*v, v/2
		}
	}
}
func (fakeVersions) Backward(dx *tensor.Tensor, d *Second, x, _ *tensor.Tensor) {
	for i := range x.N() {
		for j, v := range x.Row(i) {
			dx.Row(i)[j] += 2*v*d.Rebuilt.Row(2 * i)[j] + d.Rebuilt.Row(2*i + 1)[j]/2
		}
	}
}

func (f *fakeStudent) apply(x *tensor.Tensor, out int, transposed bool) *tensor.Tensor {
	y, n := tensor.New(x.N(), out), f.shape.Size()
	for i := range x.N() {
		for o := range out {
			for j, v := range x.Row(i) {
				w := o*n + j
				if transposed {
					w = j*n + o
				}
				y.Row(i)[o] += float32(f.w[w]) * v
			}
		}
	}
	return y
}

// testKL and testRebuilt are the two kinds of score that the guard must
// differentiate.
type testKL struct{}

func (testKL) Score(dst []float64, e Evidence) {
	for i := range dst {
		dst[i] = 0
		for s := range e.Samples {
			q := e.LogQ.Row(i*e.Samples + s)
			for c, lp := range e.LogPT.Row(i) {
				dst[i] += math.Exp(float64(lp)) * (float64(lp) - float64(q[c])) / float64(e.Samples)
			}
			for j := range e.HiddenP {
				hq := e.HiddenQ[j].Row(i*e.Samples + s)
				for c, lp := range e.HiddenP[j].Row(i) {
					dst[i] += e.HiddenWeights[j] * math.Exp(float64(lp)) * (float64(lp) - float64(hq[c])) / float64(e.Samples)
				}
			}
		}
	}
}

func (testKL) ScoreGrad(c Cotangents, e Evidence, weight []float64) {
	one := func(dp, dq, p, q []float32, w float64) {
		for k, lp := range p {
			ep := math.Exp(float64(lp))
			dp[k] += float32(w * ep * (float64(lp) - float64(q[k]) + 1))
			dq[k] -= float32(w * ep)
		}
	}
	for i, w := range weight {
		w /= float64(e.Samples)
		for s := range e.Samples {
			r := i*e.Samples + s
			one(c.LogPT.Row(i), c.LogQ.Row(r), e.LogPT.Row(i), e.LogQ.Row(r), w)
			for j := range e.HiddenP {
				one(c.HiddenP[j].Row(i), c.HiddenQ[j].Row(r), e.HiddenP[j].Row(i), e.HiddenQ[j].Row(r), w*e.HiddenWeights[j])
			}
		}
	}
}

type testRebuilt struct{}

func (testRebuilt) Needs() Needs { return Needs{Rebuilt: true} }
func (testRebuilt) Score(dst []float64, e Evidence) {
	for i := range dst {
		dst[i] = 0
		for r := i * e.Samples; r < (i+1)*e.Samples; r++ {
			for j, v := range e.Rebuilt.Row(r) {
				d := float64(e.X.Row(i)[j]) - float64(v)
				dst[i] += d * d
			}
		}
	}
}

func (testRebuilt) ScoreGrad(c Cotangents, e Evidence, weight []float64) {
	for i, w := range weight {
		for r := i * e.Samples; r < (i+1)*e.Samples; r++ {
			for j, v := range e.Rebuilt.Row(r) {
				g := float32(2 * w * (float64(e.X.Row(i)[j]) - float64(v)))
				c.X.Row(i)[j] += g
				c.Rebuilt.Row(r)[j] -= g
			}
		}
	}
}

// testTop needs P alone: 1 − max P.
type testTop struct{}

func (testTop) Needs() Needs { return Needs{} }
func (testTop) Score(dst []float64, e Evidence) {
	for i := range dst {
		dst[i] = -math.Expm1(float64(e.LogP.Row(i)[oracle.Argmax(e.LogP.Row(i))]))
	}
}

func (testTop) ScoreGrad(c Cotangents, e Evidence, weight []float64) {
	for i, w := range weight {
		p := e.LogP.Row(i)
		c.LogP.Row(i)[oracle.Argmax(p)] -= float32(w * math.Exp(float64(p[oracle.Argmax(p)])))
	}
}

var testShape = tensor.Shape{3, 4, 1}

const testClasses, testLatent, testSamples = 5, 4, 3

// options is a whole vae detector on the fakes.
func options() Options {
	return Options{
		Method: "vae", Classifier: &sdktest.Fake{Shape: testShape, Classes: testClasses, Seed: 1},
		Opinion: Sampling(newFakeVAE(testShape, testLatent, false), testSamples),
		Noise:   DrawNoise(5, testSamples, testLatent),
		Scores:  []NamedScore{{"kl", testKL{}}},
		Seed:    9, Threads: 1,
	}
}

func build(t *testing.T, o Options) *Detector {
	t.Helper()
	d, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// inputs draws n examples in [0, 1].
func inputs(seed uint64, n int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 3))
	x := tensor.Batch(n, testShape)
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	return x
}

var _ sdk.Forwarder = (*sdktest.Fake)(nil)
