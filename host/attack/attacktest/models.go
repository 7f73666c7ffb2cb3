// Package attacktest holds what every attack is tested with: small
// classifiers with known gradients, and the conformance suite.
package attacktest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Linear is the classifier z = W·x + b: attacks on it have closed forms.
type Linear struct {
	W      [][]float32 // one row of weights per class
	B      []float32
	Lo, Hi []float32
}

// Info implements sdk.Classifier.
func (l Linear) Info(context.Context) (sdk.Info, error) {
	return info("linear", len(l.W[0]), len(l.W), l.Lo, l.Hi), nil
}

func info(name string, features, classes int, lo, hi []float32) sdk.Info {
	return sdk.Info{
		Name: name, InputShape: tensor.Shape{features}, Layout: sdk.Flat, Lo: lo, Hi: hi, NumClasses: classes,
		Output: sdk.Logits, Gradient: sdk.ExactGradient, Ready: true, BatchInvariant: true,
	}
}

// Predict implements sdk.Classifier.
func (l Linear) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	z := tensor.New(x.N(), len(l.W))
	for i := range x.N() {
		affine(z.Row(i), l.W, l.B, x.Row(i))
	}
	return z, nil
}

func affine(dst []float32, w [][]float32, b, x []float32) {
	for k, row := range w {
		s := float64(b[k])
		for j, v := range row {
			s += float64(v) * float64(x[j])
		}
		dst[k] = float32(s)
	}
}

func transposed(dst []float32, w [][]float32, dy []float32) {
	for j := range dst {
		s := 0.0
		for k, row := range w {
			s += float64(row[j]) * float64(dy[k])
		}
		dst[j] = float32(s)
	}
}

// Forward implements sdk.Forwarder.
func (l Linear) Forward(ctx context.Context, x *tensor.Tensor, _ ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	z, err := l.Predict(ctx, x)
	pull := func(_ context.Context, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx := tensor.New(x.Shape...)
		for i := range x.N() {
			transposed(dx.Row(i), l.W, cot[sdk.Output].Row(i))
		}
		return dx, nil
	}
	return map[string]*tensor.Tensor{sdk.Output: z}, pull, err
}

// MLP is a network of one tanh layer with random weights: curved enough that
// one step is not the best.
type MLP struct {
	W1, W2 [][]float32
	B1, B2 []float32
	Lo, Hi []float32
}

// NewMLP draws a network on the box [0, 1].
func NewMLP(features, hidden, classes int, seed uint64) *MLP {
	r := rand.New(rand.NewPCG(seed, 1))
	matrix := func(rows, cols int, scale float64) [][]float32 {
		w := make([][]float32, rows)
		for i := range w {
			w[i] = make([]float32, cols)
			for j := range w[i] {
				w[i][j] = float32(scale * r.NormFloat64())
			}
		}
		return w
	}
	return &MLP{
		W1: matrix(hidden, features, 2/math.Sqrt(float64(features))), B1: matrix(1, hidden, .5)[0],
		W2: matrix(classes, hidden, 3/math.Sqrt(float64(hidden))), B2: make([]float32, classes),
		Lo: []float32{0}, Hi: []float32{1},
	}
}

// Info implements sdk.Classifier.
func (m *MLP) Info(context.Context) (sdk.Info, error) {
	return info("tanh network", len(m.W1[0]), len(m.W2), m.Lo, m.Hi), nil
}

// Predict implements sdk.Classifier.
func (m *MLP) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	out, _, err := m.Forward(ctx, x)
	return out[sdk.Output], err
}

// Forward implements sdk.Forwarder.
func (m *MLP) Forward(_ context.Context, x *tensor.Tensor, _ ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	if x.Stride() != len(m.W1[0]) {
		return nil, nil, fmt.Errorf("%d features, want %d", x.Stride(), len(m.W1[0]))
	}
	h, z := tensor.New(x.N(), len(m.W1)), tensor.New(x.N(), len(m.W2))
	for i := range x.N() {
		affine(h.Row(i), m.W1, m.B1, x.Row(i))
		for k, v := range h.Row(i) {
			h.Row(i)[k] = float32(math.Tanh(float64(v)))
		}
		affine(z.Row(i), m.W2, m.B2, h.Row(i))
	}
	pull := func(_ context.Context, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx, dh := tensor.New(x.Shape...), make([]float32, len(m.W1))
		for i := range x.N() {
			transposed(dh, m.W2, cot[sdk.Output].Row(i))
			for k, v := range h.Row(i) {
				dh[k] *= 1 - float32(v*v)
			}
			transposed(dx.Row(i), m.W1, dh)
		}
		return dx, nil
	}
	return map[string]*tensor.Tensor{sdk.Output: z}, pull, nil
}

// PredictionsOnly hides the gradients of a classifier.
type PredictionsOnly struct{ C sdk.Classifier }

// Info implements sdk.Classifier.
func (p PredictionsOnly) Info(ctx context.Context) (sdk.Info, error) {
	i, err := p.C.Info(ctx)
	i.Gradient = sdk.NoGradient
	return i, err
}

// Predict implements sdk.Classifier.
func (p PredictionsOnly) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return p.C.Predict(ctx, x)
}

// noGradient hides the gradients of a model with outputs by name.
type noGradient struct{ sdk.Forwarder }

// Info implements sdk.Classifier.
func (m noGradient) Info(ctx context.Context) (sdk.Info, error) {
	i, err := m.Forwarder.Info(ctx)
	i.Gradient = sdk.NoGradient
	return i, err
}

// Forward implements sdk.Forwarder.
func (m noGradient) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	out, _, err := m.Forwarder.Forward(ctx, x, outputs...)
	return out, nil, err
}

// Uniform are n rows of the given length, uniform in [lo, hi].
func Uniform(n, features int, lo, hi float64, seed uint64) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 2))
	x := tensor.New(n, features)
	for i := range x.Data {
		x.Data[i] = float32(lo + (hi-lo)*r.Float64())
	}
	return x
}
