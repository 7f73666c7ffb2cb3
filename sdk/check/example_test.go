package check_test

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The checks that the host runs when it loads a plugin.
func ExampleClassifier() {
	c := &sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2}
	findings, err := check.Classifier(context.Background(), c, check.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range findings {
		fmt.Println(f.Severity, f.Name)
	}
	// Output:
	// pass info
	// pass probabilities
	// pass repeat
	// pass batch
	// pass gradient
}
