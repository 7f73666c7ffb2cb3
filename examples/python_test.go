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

// TestKeras guards a network of Keras, where some Python has TensorFlow:
// VAEGUARD_KERAS_PYTHON names it.
func TestKeras(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python many times")
	}
	python := findPython("tensorflow", os.Getenv("VAEGUARD_KERAS_PYTHON"))
	if python == "" {
		t.Skip("no Python with grpc, numpy and tensorflow")
	}
	needFashion(t)
	runScripts(t, "keras", python)
}

// TestXGBoost guards trees of XGBoost, where some Python has it:
// VAEGUARD_XGBOOST_PYTHON names it.
func TestXGBoost(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python many times")
	}
	python := findPython("xgboost, sklearn", os.Getenv("VAEGUARD_XGBOOST_PYTHON"))
	if python == "" {
		t.Skip("no Python with grpc, numpy, xgboost and sklearn")
	}
	runScripts(t, "xgboost", python)
}

// findPython is a Python that has the SDK's modules and some more, or "".
func findPython(modules, first string) string {
	for _, p := range []string{first, os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3"} {
		if found, err := exec.LookPath(p); err == nil && exec.Command(found, "-c", "import grpc, numpy, "+modules).Run() == nil {
			return found
		}
	}
	return ""
}

// runPython runs testdata/NAME/*.txtar with the example's files and a python3
// that has the SDK's modules and one more.
func runPython(t *testing.T, name, module string) {
	t.Helper()
	python := findPython(module, "")
	if python == "" {
		text := "no Python with grpc, numpy and " + module
		if os.Getenv("VAEGUARD_PYTHON_TESTS") == "1" {
			t.Fatal(text)
		}
		t.Skip(text + "; VAEGUARD_PYTHON_TESTS=1 makes this a failure")
	}
	runScripts(t, name, python)
}

// runScripts runs testdata/NAME/*.txtar with python as python3, and with the
// files of the example of that name, if there is one.
func runScripts(t *testing.T, name, python string) {
	t.Helper()
	packages, err := filepath.Abs(filepath.Join("..", "sdk", "python"))
	if err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, filepath.Join("testdata", name), nil, func(e *testscript.Env) error {
		if _, err := os.Stat(name); err == nil {
			if err := os.CopyFS(e.WorkDir, os.DirFS(name)); err != nil {
				return err
			}
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
