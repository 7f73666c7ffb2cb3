package nntest_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/nn/nntest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestConformance is the example at work.
func TestConformance(t *testing.T) {
	nntest.Run(t, Square{}, tensor.Shape{5})
	nntest.Run(t, Square{}, tensor.Shape{4, 4, 3})
}
