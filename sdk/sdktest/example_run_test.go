package sdktest_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The whole test of a plugin, in TestConforms or the like, with your own
// classifier.
func ExampleRun() {
	var t *testing.T // what go test hands to TestConforms
	classifier := &sdktest.Fake{Shape: tensor.Shape{4}, Classes: 3}
	sdktest.Run(t, classifier, sdktest.Options{Seed: 1})
}
