package main

import (
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
	"github.com/vaeguard/vaeguard/host/nn/nntest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestMain makes the test binary the programs of the scripts, and the plugins
// that these start.
func TestMain(m *testing.M) {
	clitest.Main(m, builtin.Components(), map[string]func(){"own-layer": main})
}

// TestGradients holds the layer to what the engine expects of every layer.
func TestGradients(t *testing.T) {
	nntest.Run(t, SoftThreshold{Lambda: 0.25}, tensor.Shape{7})
	nntest.Run(t, SoftThreshold{}, tensor.Shape{4, 4, 2})
}

func TestProgram(t *testing.T) { clitest.Run(t, "testdata", []string{"guard.yaml"}, nil) }
