package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/datasets"
	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/dataset/datasettest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// raw32 is x as such a file.
func raw32(x *tensor.Tensor) []byte {
	shape, err := json.Marshal(map[string]any{"raw32": x.Shape})
	if err != nil {
		panic(err)
	}
	b := bytes.NewBuffer(append(shape, '\n'))
	if err := binary.Write(b, binary.LittleEndian, x.Data); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// TestMain makes the test binary the program of the script, and the plugins
// that it starts.
func TestMain(m *testing.M) {
	clitest.Main(m, components(), map[string]func(){"own-format": main})
}

// TestRaw32 holds the format to what the host expects of every format.
func TestRaw32(t *testing.T) {
	datasettest.Table(t, components().Formats)
	x := tensor.From([]float32{1, -2, 3, 0.5, 0, 7}, 3, 2)
	path := filepath.Join(t.TempDir(), "x.raw32")
	if err := os.WriteFile(path, raw32(x), 0o600); err != nil {
		t.Fatal(err)
	}
	datasettest.Run(t, components().Formats, "raw32", datasettest.Sample{Path: path, X: x})
}

// TestLoad reads data.train of a spec in the format.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	x := tensor.From([]float32{1, -2, 3, 0.5, 0, 7}, 3, 2)
	spec := filepath.Join(dir, "x.yaml")
	for name, text := range map[string][]byte{
		"x.raw32": raw32(x), "y.csv": []byte("0\n1\n1\n"),
		"x.yaml": []byte("api_version: vaeguard/v1\nkind: Experiment\nname: x\ndata: {train: {file: x.raw32, labels: y.csv, range: [1, 3]}}\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := host.Load(spec, nil, components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.Rows(dataset.RoleTrain)
	if err != nil {
		t.Fatal(err)
	}
	if !d.X.Shape.Equal(tensor.Shape{2, 2}) || d.X.Data[0] != 3 || d.X.Data[3] != 7 || d.Labels[0] != 1 {
		t.Errorf("rows %v %v, labels %v", d.X.Shape, d.X.Data, d.Labels)
	}
	if _, err := host.Load(spec, nil, builtin.Components(), host.Options{}); err == nil {
		t.Error("a program without the format takes it")
	}
}

// TestProgram runs the script on digits in the format.
func TestProgram(t *testing.T) {
	clitest.Run(t, "testdata", []string{"guard.yaml"}, func(e *testscript.Env) error {
		for _, split := range []string{"train", "calibration", "test"} {
			d, err := dataset.Open(dataset.Source{Dataset: "digits", Split: split}, "", datasets.Table(), formats.Table())
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(e.WorkDir, split+".raw32"), raw32(d.X), 0o600); err != nil {
				return err
			}
			var y bytes.Buffer
			if err := dataset.WriteNPY(&y, dataset.Array{Shape: tensor.Shape{len(d.Labels)}, Data: d.Labels}); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(e.WorkDir, split+".npy"), y.Bytes(), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
}
