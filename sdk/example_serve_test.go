package sdk_test

import (
	"context"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// threshold calls a number above one half class 1.
type threshold struct{}

func (threshold) Info(context.Context) (sdk.Info, error) {
	return sdk.Info{
		Name: "threshold", Version: "1.0.0",
		InputShape: tensor.Shape{1}, Lo: []float32{0}, Hi: []float32{1},
		NumClasses: 2, Classes: []string{"low", "high"}, Output: sdk.Logits,
	}, nil
}

// Predict gives the logits (-s, s) with s = 10·(x − ½).
func (threshold) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y := tensor.New(x.N(), 2)
	for i := range x.N() {
		s := 10 * (x.Row(i)[0] - 0.5)
		y.Row(i)[0], y.Row(i)[1] = -s, s
	}
	return y, nil
}

// Gradient makes threshold an sdk.Differentiable.
func (threshold) Gradient(_ context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx := tensor.New(x.Shape...)
	for i := range x.N() {
		dx.Row(i)[0] = 10 * (dy.Row(i)[1] - dy.Row(i)[0])
	}
	return dx, nil
}

// A whole plugin: a struct, and Serve as the only line of main.
func ExampleServe() {
	sdk.Serve(threshold{})
}
