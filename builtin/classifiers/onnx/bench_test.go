package onnx_test

import (
	"context"
	"path"
	"strconv"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// BenchmarkGradient is a forward and a backward pass of 128 rows.
func BenchmarkGradient(b *testing.B) {
	ctx := context.Background()
	for _, name := range []string{"residual", "dense", "depthwise", "attention", "mlp"} {
		b.Run(name, func(b *testing.B) {
			c := configured(b, `{"model": "`+name+`.onnx"}`)
			info, err := c.Info(ctx)
			if err != nil {
				b.Fatal(err)
			}
			x, dy := tensor.Batch(128, info.InputShape), tensor.New(128, info.NumClasses)
			for i := range dy.Data {
				dy.Data[i] = 1
			}
			for b.Loop() {
				_, pull, err := c.Forward(ctx, x)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAnswers is a forward pass, of the example's CNN first.
func BenchmarkAnswers(b *testing.B) {
	for _, name := range []string{"../../../../examples/onnx/fashion", "residual", "dense", "depthwise", "attention", "mlp"} {
		c := configured(b, `{"model": "`+name+`.onnx"}`)
		info, err := c.Info(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, rows := range []int{64, 640} {
			x := tensor.Batch(rows, info.InputShape)
			b.Run(path.Base(name)+"/"+strconv.Itoa(rows), func(b *testing.B) {
				for b.Loop() {
					if _, err := c.Predict(b.Context(), x); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
