package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// centroids is a classifier of this program: a row is of the class whose mean it is
// nearest to. The logits are −sharpness·|x − mean|².
type centroids struct{ means *tensor.Tensor } // (classes, features)

const sharpness = 4

var _ sdk.Differentiable = centroids{}

// learn takes the mean of each class.
func learn(x *tensor.Tensor, labels []int) centroids {
	c := centroids{tensor.New(10, x.Stride())}
	count := make([]float32, 10)
	for i, l := range labels {
		count[l]++
		for j, v := range x.Row(i) {
			c.means.Row(l)[j] += v
		}
	}
	for k := range count {
		for j := range c.means.Row(k) {
			c.means.Row(k)[j] /= count[k]
		}
	}
	return c
}

// Info implements sdk.Classifier. With a digest of its numbers, no other model is
// taken for this one when the guard is opened.
func (c centroids) Info(context.Context) (sdk.Info, error) {
	sum := sha256.New()
	for _, v := range c.means.Data {
		_ = binary.Write(sum, binary.LittleEndian, math.Float32bits(v)) // a hash takes all
	}
	return sdk.Info{
		Name: "centroids", Version: "1.0.0", Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Ready: true,
		InputShape: tensor.Shape{c.means.Stride()}, Layout: sdk.Flat, Lo: []float32{0}, Hi: []float32{1},
		NumClasses: c.means.N(), Output: sdk.Logits, Gradient: sdk.ExactGradient,
	}, nil
}

// Predict implements sdk.Classifier.
func (c centroids) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y := tensor.New(x.N(), c.means.N())
	for i := range x.N() {
		for k := range c.means.N() {
			sum := 0.
			for j, v := range x.Row(i) {
				d := float64(v - c.means.Row(k)[j])
				sum += d * d
			}
			y.Row(i)[k] = float32(-sharpness * sum)
		}
	}
	return y, nil
}

// Gradient implements sdk.Differentiable.
func (c centroids) Gradient(_ context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx := tensor.New(x.Shape...)
	for i := range x.N() {
		for j, v := range x.Row(i) {
			sum := 0.
			for k, d := range dy.Row(i) {
				sum -= float64(d) * 2 * sharpness * float64(v-c.means.Row(k)[j])
			}
			dx.Row(i)[j] = float32(sum)
		}
	}
	return dx, nil
}

// attack moves each number of a row by 0.2 at most, so that the predicted class loses
// to the next (one step of the sign of the gradient).
func (c centroids) attack(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	const eps = .2
	y, err := c.Predict(ctx, x)
	if err != nil {
		return nil, err
	}
	dy := tensor.New(y.Shape...)
	for i := range y.N() {
		first, second := 0, -1
		for k, v := range y.Row(i) {
			switch {
			case v > y.Row(i)[first]:
				first, second = k, first
			case k != first && (second < 0 || v > y.Row(i)[second]):
				second = k
			}
		}
		dy.Row(i)[first], dy.Row(i)[second] = -1, 1
	}
	dx, err := c.Gradient(ctx, x, dy)
	if err != nil {
		return nil, err
	}
	out := x.Clone()
	for i, d := range dx.Data {
		if d != 0 {
			out.Data[i] = min(max(out.Data[i]+float32(math.Copysign(eps, float64(d))), 0), 1)
		}
	}
	return out, nil
}
