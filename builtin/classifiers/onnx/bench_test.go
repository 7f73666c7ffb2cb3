package onnx_test

import (
	"context"
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
