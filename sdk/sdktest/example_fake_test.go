package sdktest_test

import (
	"context"
	"fmt"
	"log"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// A Fake has exact gradients and a hidden layer, as a real network does.
func ExampleFake_Forward() {
	ctx := context.Background()
	f := &sdktest.Fake{Shape: tensor.Shape{8, 8, 1}, Classes: 10, Units: 16}
	hidden := sdk.HiddenPrefix + sdktest.FakeHidden
	outs, pull, err := f.Forward(ctx, tensor.New(4, 8, 8, 1), sdk.Output, hidden)
	if err != nil {
		log.Fatal(err)
	}
	dx, err := pull(ctx, map[string]*tensor.Tensor{hidden: tensor.New(4, 16)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(outs[sdk.Output].Shape, outs[hidden].Shape, dx.Shape)
	// Output: 4×10 4×16 4×8×8×1
}

// A test of what calls a classifier, over a real connection: what crosses the
// boundary of a process in earnest is encoded and decoded here too.
func ExamplePair() {
	var t *testing.T // what go test hands to the test
	client := sdktest.Pair(t, &sdktest.Fake{Shape: tensor.Shape{4}, Classes: 3, MaxBatch: 2})
	if _, err := client.Predict(t.Context(), tensor.New(5, 4)); err != nil {
		t.Error(err)
	}
}
