package cnn_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/cnn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// BenchmarkFashion asks the classifier of specs/fashion-cnn.yaml, in process: a forward
// pass, and one with the gradient at its input.
func BenchmarkFashion(b *testing.B) {
	ctx := b.Context()
	c := cnn.New()
	if err := c.Configure(ctx, sdk.Config{JSON: []byte(`{"range": [0, 1], "classes": 10, "input_shape": [28, 28, 1], "layers": [
		{"conv2d": {"filters": 64, "kernel_size": 2, "padding": "same", "activation": "relu"}},
		{"max_pooling2d": {"pool_size": 2}}, {"dropout": {"rate": 0.3}}, "flatten", {"dense": {"units": 256, "activation": "relu"}}]}`)}); err != nil {
		b.Fatal(err)
	}
	few := sdk.TrainingData{X: tensor.New(10, 28, 28, 1), Labels: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}
	if _, err := c.Fit(ctx, few, sdk.FitOptions{OutputDir: b.TempDir(), JSON: []byte(`{"epochs": 1}`), Progress: func(sdk.FitProgress) {}}); err != nil {
		b.Fatal(err)
	}
	for _, rows := range []int{64, 640} {
		x := tensor.New(rows, 28, 28, 1)
		for i := range x.Data {
			x.Data[i] = float32(i%97) / 97
		}
		b.Run(fmt.Sprintf("forward/%d", rows), func(b *testing.B) {
			for b.Loop() {
				if _, err := c.Predict(ctx, x); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("gradient/%d", rows), func(b *testing.B) {
			dy := tensor.New(rows, 10)
			for i := range dy.Data {
				dy.Data[i] = float32(i%7) - 3
			}
			for b.Loop() {
				if err := gradient(ctx, c, x, dy); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func gradient(ctx context.Context, c sdk.Forwarder, x, dy *tensor.Tensor) error {
	_, pull, err := c.Forward(ctx, x, sdk.Output)
	if err != nil {
		return err
	}
	_, err = pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy})
	return err
}
