package sdktest_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestFakeConforms(t *testing.T) {
	sdktest.Run(t, &sdktest.Fake{Shape: tensor.Shape{5, 4, 2}, Classes: 3}, sdktest.Options{})
	sdktest.Run(t, &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 2, Output: sdk.Probabilities, MaxBatch: 7, Scale: 1}, sdktest.Options{Seed: 1})
}
