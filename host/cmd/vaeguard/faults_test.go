package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/host/cli/clitest"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestONNXFaults runs host/cli/testdata/onnx/*.txtar: what a user sees of a
// file that will not do.
func TestONNXFaults(t *testing.T) {
	good := filepath.Join("..", "..", "..", "examples", "onnx", "fashion.onnx")
	other := filepath.Join("..", "..", "..", "builtin", "classifiers", "onnx", "testdata", "residual.onnx")
	clitest.Run(t, filepath.Join(scripts, "onnx"), []string{good, other}, func(e *testscript.Env) error {
		file, err := os.ReadFile(good)
		if err != nil {
			return err
		}
		// Another opset_import, of field 8 of the ModelProto: version 99 of the
		// default domain. The last one of a domain counts.
		if err := os.WriteFile(filepath.Join(e.WorkDir, "new.onnx"), append(file, 0x42, 2, 0x10, 99), 0o666); err != nil {
			return err
		}
		x := tensor.New(3, 28, 28, 1)
		f, err := os.Create(filepath.Join(e.WorkDir, "x.npz"))
		if err != nil {
			return err
		}
		if err := dataset.WriteNPZ(f, []dataset.Array{{Name: "x", Shape: x.Shape, Data: x.Data}}); err != nil {
			return err
		}
		return f.Close()
	})
}

// TestPythonFaults runs host/cli/testdata/python/*.txtar: what a user sees of a
// plugin in Python that fails.
func TestPythonFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python many times")
	}
	python := ""
	for _, p := range []string{os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3"} {
		if found, err := exec.LookPath(p); err == nil && exec.Command(found, "-c", "import grpc, numpy").Run() == nil {
			python = found
			break
		}
	}
	if python == "" {
		if os.Getenv("VAEGUARD_PYTHON_TESTS") == "1" {
			t.Fatal("no Python with grpc and numpy")
		}
		t.Skip("no Python with grpc and numpy; VAEGUARD_PYTHON_TESTS=1 makes this a failure")
	}
	packages, err := filepath.Abs(filepath.Join("..", "..", "..", "sdk", "python"))
	if err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, filepath.Join(scripts, "python"), nil, func(e *testscript.Env) error {
		bin := filepath.Join(e.WorkDir, "bin")
		if err := os.Mkdir(bin, 0o777); err != nil {
			return err
		}
		e.Setenv("PATH", bin+string(filepath.ListSeparator)+e.Getenv("PATH"))
		e.Setenv("PYTHONPATH", packages)
		e.Setenv("PYTHONDONTWRITEBYTECODE", "1")
		for name, most := range map[string]float32{"unit.npy": 1, "bytes.npy": 255} {
			if err := writeImages(filepath.Join(e.WorkDir, name), most); err != nil {
				return err
			}
		}
		return os.WriteFile(filepath.Join(bin, "python3"), []byte("#!/bin/sh\nexec '"+python+"' \"$@\"\n"), 0o777)
	})
}

// writeImages writes eight images of 4×5×2 with numbers from 0 to most.
func writeImages(name string, most float32) error {
	x := tensor.New(8, 4, 5, 2)
	for i := range x.Data {
		x.Data[i] = most * float32(i*37%101) / 100
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := dataset.WriteNPY(f, dataset.Array{Name: "x", Shape: x.Shape, Data: x.Data}); err != nil {
		return err
	}
	return f.Close()
}
