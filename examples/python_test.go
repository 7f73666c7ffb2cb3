package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

// TestOwnPluginPython trains and guards a network of PyTorch.
func TestOwnPluginPython(t *testing.T) { runPython(t, "own-plugin-python", "torch") }

// TestSklearnForest guards a model without gradients.
func TestSklearnForest(t *testing.T) { runPython(t, "sklearn-forest", "sklearn") }

// runPython runs testdata/NAME/*.txtar with the example's files and a python3
// that has the SDK's modules and one more.
func runPython(t *testing.T, name, module string) {
	t.Helper()
	python := ""
	for _, p := range []string{os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3"} {
		if found, err := exec.LookPath(p); err == nil && exec.Command(found, "-c", "import grpc, numpy, "+module).Run() == nil {
			python = found
			break
		}
	}
	if python == "" {
		text := "no Python with grpc, numpy and " + module
		if os.Getenv("VAEGUARD_PYTHON_TESTS") == "1" {
			t.Fatal(text)
		}
		t.Skip(text + "; VAEGUARD_PYTHON_TESTS=1 makes this a failure")
	}
	packages, err := filepath.Abs(filepath.Join("..", "sdk", "python"))
	if err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, filepath.Join("testdata", name), nil, func(e *testscript.Env) error {
		if err := os.CopyFS(e.WorkDir, os.DirFS(name)); err != nil {
			return err
		}
		bin := filepath.Join(e.WorkDir, "bin")
		if err := os.Mkdir(bin, 0o777); err != nil {
			return err
		}
		e.Setenv("PATH", bin+string(filepath.ListSeparator)+e.Getenv("PATH"))
		e.Setenv("PYTHONPATH", packages)
		e.Setenv("PYTHONDONTWRITEBYTECODE", "1")
		return os.WriteFile(filepath.Join(bin, "python3"), []byte("#!/bin/sh\nexec '"+python+"' \"$@\"\n"), 0o777)
	})
}
