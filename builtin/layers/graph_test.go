package layers_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestGraph: every layer, exported as ONNX and read back by the importer of the
// plugin onnx, which knows nothing of layers, computes what Forward does.
func TestGraph(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases {
		t.Run(c.json, func(t *testing.T) {
			seq, x := graphCase(t, c.json, c.in)
			want := forward(t, seq, x)
			got := throughONNX(t, seq, x, strings.Contains(c.json, "softmax"))
			for i, w := range want.Data {
				if d := math.Abs(float64(got.Data[i] - w)); d > 2e-6*(1+math.Abs(float64(w))) {
					t.Fatalf("number %d is %v, want %v", i, got.Data[i], w)
				}
			}
			seen[seq.Layers()[0].(nn.Described).Kind()] = true
		})
	}
	for _, e := range layers.Table().Entries() {
		if !seen[e.Name] {
			t.Errorf("no case exports %s", e.Name)
		}
	}
}

// graphCase is a layer with weights that are all different, and an input.
func graphCase(t *testing.T, text string, in tensor.Shape) (*nn.Sequence, *tensor.Tensor) {
	t.Helper()
	seq, err := nn.Build(decode(t, "["+text+"]"), in, nn.FreshRand(3))
	if err != nil {
		t.Fatal(err)
	}
	r := nn.FreshRand(4)
	for _, p := range seq.Params() {
		for i := range p.Value.Data {
			p.Value.Data[i] += 0.1 + 0.4*r.Float32() // a variance stays positive
		}
	}
	x := tensor.Batch(3, in)
	for i := range x.Data {
		x.Data[i] = 2*r.Float32() - 1
	}
	return seq, x
}

func forward(t *testing.T, seq *nn.Sequence, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	return seq.Forward(nn.NewWorkspace(k, seq, x.N(), nn.Inference), x).Clone()
}

func throughONNX(t *testing.T, seq *nn.Sequence, x *tensor.Tensor, softmax bool) *tensor.Tensor {
	t.Helper()
	b := graph.New()
	dims := append([]graph.Dim{graph.Free("n")}, graph.Fixed(seq.In()...)...)
	y := b.Batch(seq.Graph(b, b.Input(graph.Port{Name: "x", Type: graph.Float, Dims: dims})), seq.Out().Size())
	b.Output(graph.Port{Name: "y", Type: graph.Float, Dims: []graph.Dim{graph.Free("n"), {N: seq.Out().Size()}}}, y)
	file, err := b.Model(graph.Meta{Producer: "test", Name: "layer"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "layer.onnx")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	c := onnx.New()
	settings := map[string]any{"model": path, "kind": "logits", "output": "y"}
	if len(seq.In()) == 3 {
		settings["layout"] = "nhwc"
	}
	if softmax {
		settings["kind"] = "probabilities" // else the importer leaves it out
	}
	config, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.(sdk.Configurable).Configure(t.Context(), sdk.Config{JSON: config, InputShape: seq.In()}); err != nil {
		t.Fatal(err)
	}
	out, err := c.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
