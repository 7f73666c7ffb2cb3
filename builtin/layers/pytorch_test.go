package layers_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

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

// TestLayersAgreeWithPyTorch compares each layer's forward pass, input gradient
// and param gradients, in inference and in training mode, with an independent
// implementation on PyTorch in float64.
func TestLayersAgreeWithPyTorch(t *testing.T) {
	py := python(t)
	dir := t.TempDir()
	args := []string{"../testdata/pytorch.py", "layers"}
	for i, c := range cases {
		for _, mode := range []nn.Mode{nn.Inference, nn.Training} {
			seq, err := nn.Build(decode(t, "["+c.json+"]"), c.in, nn.FreshRand(uint64(i)))
			if err != nil {
				t.Fatal(err)
			}
			random := false
			for _, l := range nn.Describe(seq) {
				random = random || l.Kind == "dropout" || l.Kind == "gaussian_noise"
			}
			if random && mode == nn.Training {
				continue
			}
			file := filepath.Join(dir, fmt.Sprintf("%02d-%d.safetensors", i, mode))
			export(t, file, seq, c.json, c.in, mode)
			args = append(args, file)
		}
	}
	out, err := exec.Command(py, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%d cases agree within 1e-4", len(args)-2)
}

// export writes one case: random params, x and dy, and what comes of them.
func export(t *testing.T, file string, seq *nn.Sequence, config string, in tensor.Shape, mode nn.Mode) {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	fill := func(v []float32) {
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
	}
	for _, p := range seq.Params() {
		fill(p.Value.Data)
		if p.Role == nn.Statistic {
			for i, v := range p.Value.Data { // a variance is positive
				p.Value.Data[i] = 0.5 + v*v
			}
		}
	}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	const n = 5
	x, dy := tensor.Batch(n, in), tensor.Batch(n, seq.Out())
	fill(x.Data)
	fill(dy.Data)
	w := nn.NewWorkspace(k, seq, n, mode)
	y := seq.Forward(w, x).Clone()
	g := nn.NewGrads(seq.Params())
	g.Zero()
	dx := seq.Backward(w, dy.Clone(), g)
	named := []safetensors.Named{{Name: "x", Tensor: x}, {Name: "y", Tensor: y}, {Name: "dy", Tensor: dy}, {Name: "dx", Tensor: dx}}
	for _, p := range seq.Params() {
		named = append(named, safetensors.Named{Name: "param/" + p.Name, Tensor: p.Value})
		if p.Role == nn.Weight {
			named = append(named, safetensors.Named{Name: "grad/" + p.Name, Tensor: g.Of(p)})
		}
	}
	meta, err := json.Marshal(map[string]any{"name": config, "layers": json.RawMessage("[" + config + "]"), "training": mode == nn.Training})
	if err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(file, named, map[string]string{"case": string(meta)}); err != nil {
		t.Fatal(err)
	}
}
