package main

import (
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
	"github.com/vaeguard/vaeguard/host/detect/methodtest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestMain makes the test binary the program of the scripts, and the plugins
// that it starts.
func TestMain(m *testing.M) {
	clitest.Main(m, builtin.Components(), map[string]func(){"own-method": main})
}

// TestConformance holds the method to what the host expects of every method.
func TestConformance(t *testing.T) {
	methodtest.Run(t, PCA{Components: 3}, methodtest.Case{Input: tensor.Shape{12}, Scores: scores.Table()})
	methodtest.Run(t, PCA{Components: 5}, methodtest.Case{Input: tensor.Shape{4, 4, 2}, Scores: scores.Table()})
}

func TestProgram(t *testing.T) { clitest.Run(t, "testdata", []string{"guard.yaml"}, nil) }
