package sdktest_test

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Fake stands for a classifier in the tests of what calls one.
func ExampleFake() {
	f := &sdktest.Fake{Shape: tensor.Shape{2}, Classes: 3, Output: sdk.Probabilities}
	y, err := f.Predict(context.Background(), tensor.New(5, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(y.Shape)
	// Output: 5×3
}
