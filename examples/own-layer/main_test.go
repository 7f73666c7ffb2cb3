package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/nn/nntest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestMain(m *testing.M) {
	builtin.ServeIfPlugin() // this test binary is the programs, and their plugins
	testscript.Main(m, map[string]func(){
		"own-layer": main,
		"vaeguard":  func() { cli.Main(builtin.Components()) },
	})
}

// TestGradients holds the layer to what the engine expects of every layer.
func TestGradients(t *testing.T) {
	nntest.Run(t, SoftThreshold{Lambda: 0.25}, tensor.Shape{7})
	nntest.Run(t, SoftThreshold{}, tensor.Shape{4, 4, 2})
}

func TestProgram(t *testing.T) {
	spec, err := os.ReadFile("guard.yaml")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: func(e *testscript.Env) error {
		return os.WriteFile(filepath.Join(e.WorkDir, "guard.yaml"), spec, 0o666)
	}})
}
