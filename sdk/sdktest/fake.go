// Package sdktest tests classifiers: Run is the conformance suite that the
// author of a plugin runs, Fake a small classifier with exact gradients for the
// tests of what is built on classifiers, and Pair serves any classifier over a
// real connection.
package sdktest

import (
	"context"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Fake is a classifier of one hidden layer with random weights,
// softmax(W₂·tanh(W₁·x + b₁) + b₂), smooth everywhere and exact to float32.
// A row's answer has the same bits in any batch. The fields must not change
// after the first call.
type Fake struct {
	Shape   tensor.Shape   // per example; required
	Classes int            // required
	Units   int            // of the hidden layer "features"; 0: 8
	Output  sdk.OutputKind // 0: Logits
	Layout  sdk.Layout     // 0: NHWC for three dimensions, else Flat
	Scale   float64        // of the logits; 0: 4
	Seed    uint64
	// MaxBatch, Lo and Hi are declared as they are; no range means [0, 1].
	MaxBatch int
	Lo, Hi   []float32

	once           sync.Once
	w1, b1, w2, b2 []float64 // (units, features), (units), (classes, units), (classes)
}

// FakeHidden is the name of the Fake's hidden layer.
const FakeHidden = "features"

var (
	_ sdk.Forwarder      = (*Fake)(nil)
	_ sdk.Differentiable = (*Fake)(nil)
)

func (f *Fake) units() int {
	if f.Units == 0 {
		return 8
	}
	return f.Units
}

// prepare draws the weights: W₁ of variance 9/features, so that tanh bends.
func (f *Fake) prepare() {
	f.once.Do(func() {
		r := rand.New(rand.NewPCG(f.Seed, 0xfa4e))
		draw := func(n int, scale float64) []float64 {
			w := make([]float64, n)
			for i := range w {
				w[i] = scale * r.NormFloat64()
			}
			return w
		}
		d, h := f.Shape.Size(), f.units()
		scale := f.Scale
		if scale == 0 {
			scale = 4
		}
		f.w1, f.b1 = draw(h*d, 3/math.Sqrt(float64(d))), draw(h, 0.1)
		f.w2, f.b2 = draw(f.Classes*h, scale/math.Sqrt(float64(h))), draw(f.Classes, 0.1)
	})
}

// Info describes the fake.
func (f *Fake) Info(context.Context) (sdk.Info, error) {
	i := sdk.Info{
		Name: "fake", Version: "1", InputShape: f.Shape, Layout: f.Layout, Lo: f.Lo, Hi: f.Hi,
		NumClasses: f.Classes, Output: f.Output, MaxBatch: f.MaxBatch, Gradient: sdk.ExactGradient,
		Hidden: []sdk.HiddenLayer{{Name: FakeHidden, Shape: tensor.Shape{f.units()}}},
		Ready:  true, BatchInvariant: true, Differentiate: true,
		Digest: "sha256:fake" + strconv.FormatUint(f.Seed, 10),
	}
	if i.Output == 0 {
		i.Output = sdk.Logits
	}
	if i.Layout == 0 {
		i.Layout = sdk.Flat
		if len(f.Shape) == 3 {
			i.Layout = sdk.NHWC
		}
	}
	if i.Lo == nil {
		i.Lo, i.Hi = []float32{0}, []float32{1}
	}
	return i, nil
}

// Predict is the forward pass.
func (f *Fake) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	outs, _, err := f.Forward(ctx, x)
	if err != nil {
		return nil, err
	}
	return outs[sdk.Output], nil
}

// Gradient is a forward and a backward pass.
func (f *Fake) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	_, pull, err := f.Forward(ctx, x)
	if err != nil {
		return nil, err
	}
	return pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy})
}

// Forward computes the output and, if asked, the hidden layer.
func (f *Fake) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	f.prepare()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if !x.Example().Equal(f.Shape) {
		return nil, nil, sdk.Errorf(sdk.InvalidArgument, "x has shape %v, want N×%v", x.Shape, f.Shape)
	}
	if len(outputs) == 0 {
		outputs = []string{sdk.Output}
	}
	n, h, k := x.N(), f.units(), f.Classes
	hidden, out := tensor.New(n, h), tensor.New(n, k)
	acts, probs := make([]float64, n*h), make([]float64, n*k)
	for i := range n {
		a, p := acts[i*h:][:h], probs[i*k:][:k]
		affine(a, f.w1, f.b1, func(j int) float64 { return float64(x.Row(i)[j]) }, x.Stride())
		for j := range a {
			a[j] = math.Tanh(a[j])
			hidden.Row(i)[j] = float32(a[j])
		}
		affine(p, f.w2, f.b2, func(j int) float64 { return a[j] }, h)
		for j := range p {
			out.Row(i)[j] = float32(p[j])
		}
		softmax(p)
		if f.Output == sdk.Probabilities {
			for j := range p {
				out.Row(i)[j] = float32(p[j])
			}
		}
	}
	got := map[string]*tensor.Tensor{}
	for _, name := range outputs {
		switch name {
		case sdk.Output:
			got[name] = out
		case sdk.HiddenPrefix + FakeHidden:
			got[name] = hidden
		default:
			return nil, nil, sdk.Errorf(sdk.InvalidArgument, "unknown output %q", name)
		}
	}
	shape := x.Shape.Clone()
	pull := func(_ context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx := tensor.New(shape...)
		for i := range n {
			f.pull(dx.Row(i), row(cots[sdk.Output], i), row(cots[sdk.HiddenPrefix+FakeHidden], i), acts[i*h:][:h], probs[i*k:][:k])
		}
		return dx, nil
	}
	return got, pull, nil
}

// pull is the backward pass of one row; dy and dh may be nil.
func (f *Fake) pull(dx, dy, dh []float32, a, p []float64) {
	da := make([]float64, len(a))
	for j := range dh {
		da[j] = float64(dh[j])
	}
	if dy != nil {
		mean := 0.0 // Σ dy·p: what the softmax takes away
		for c := range p {
			mean += float64(dy[c]) * p[c]
		}
		for c := range p {
			dz := float64(dy[c])
			if f.Output == sdk.Probabilities {
				dz = p[c] * (dz - mean)
			}
			for j := range da {
				da[j] += dz * f.w2[c*len(a)+j]
			}
		}
	}
	sum := make([]float64, len(dx))
	for j := range da {
		dz := da[j] * (1 - a[j]*a[j])
		for i := range sum {
			sum[i] += dz * f.w1[j*len(dx)+i]
		}
	}
	for i := range dx {
		dx[i] = float32(sum[i])
	}
}

// affine is dst = w·x + b for x of n elements.
func affine(dst, w, b []float64, x func(int) float64, n int) {
	for j := range dst {
		s := b[j]
		for i := range n {
			s += w[j*n+i] * x(i)
		}
		dst[j] = s
	}
}

func softmax(p []float64) {
	top := math.Inf(-1)
	for _, v := range p {
		top = max(top, v)
	}
	sum := 0.0
	for j, v := range p {
		p[j] = math.Exp(v - top)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
}

func row(t *tensor.Tensor, i int) []float32 {
	if t == nil {
		return nil
	}
	return t.Row(i)
}
