package builtin_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestMain(m *testing.M) {
	builtin.ServeIfPlugin()
	os.Exit(m.Run())
}

// python finds a Python with torch. Without one the test is skipped, unless
// VAEGUARD_PYTHON_TESTS says that there must be one.
func python(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("compares numbers, which the long run does")
	}
	for _, p := range []string{os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3"} {
		if p != "" && exec.Command(p, "-c", "import torch, numpy, yaml").Run() == nil {
			return p
		}
	}
	if os.Getenv("VAEGUARD_PYTHON_TESTS") != "" {
		t.Fatal("no Python with torch, numpy and yaml")
	}
	t.Skip("no Python with torch, numpy and yaml")
	return ""
}

// TestDetectorsAgreeWithPyTorch trains detectors that together hold every
// layer, loads their files into an independent implementation on PyTorch and
// compares reconstructions, codes and, with the stored noise, scores.
func TestDetectorsAgreeWithPyTorch(t *testing.T) {
	py := python(t)
	for _, name := range []string{"every-image-layer", "tabular"} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			e, err := host.Load("testdata/"+name+".yaml", nil, builtin.Components(), host.Options{})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			d, err := e.TrainTo(ctx, host.TrainOptions{Out: filepath.Join(dir, "detector")})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			rows, err := e.Rows(dataset.RoleTest)
			if err != nil {
				t.Fatal(err)
			}
			r, err := d.Detector.Detect(ctx, rows.X, detect.Include{Reconstruction: true, Latent: true}) // rows are scaled already
			if err != nil {
				t.Fatal(err)
			}
			x, result := filepath.Join(dir, "x.npy"), filepath.Join(dir, "result.npz")
			write(t, x, dataset.Array{Shape: rows.X.Shape, Data: rows.X.Data})
			if err := dataset.WriteNPZFile(result, []dataset.Array{
				{Name: "instance_score", Shape: tensor.Shape{len(r.Score)}, Data: slices.Clone(r.Score)},
				{Name: "reconstruction", Shape: r.Reconstruction.Shape, Data: r.Reconstruction.Data},
				{Name: "latent", Shape: r.Latent.Shape, Data: r.Latent.Data},
			}); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(py, "testdata/pytorch.py", "detector", filepath.Join(dir, "detector"), x, result).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

func write(t *testing.T, path string, a dataset.Array) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := dataset.WriteNPY(f, a); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
