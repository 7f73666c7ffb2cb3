package check_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// descending is a classifier with a slip: its gradient has the wrong sign.
type descending struct{ *sdktest.Fake }

func (d descending) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx, err := d.Fake.Gradient(ctx, x, dy)
	if err != nil {
		return nil, err
	}
	for i := range dx.Data {
		dx.Data[i] = -dx.Data[i]
	}
	return dx, nil
}

// onlyGradient hides the Fake's Forward, from which Gradient is derived where
// there is one.
type onlyGradient struct{ sdk.Differentiable }

// Gradients are compared with differences of predictions, and what is wrong
// with them is guessed.
func ExampleFinding() {
	c := onlyGradient{descending{&sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2}}}
	findings, err := check.Classifier(context.Background(), c, check.Options{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range findings {
		if f.Severity == check.Fail {
			fmt.Printf("%s: %s\n", f.Name, f.Suggests)
		}
	}
	// Output: gradient: the wrong sign
}
