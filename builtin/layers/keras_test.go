package layers_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// reference is testdata/keras.json, which keras_reference.py wrote.
type reference struct {
	Cases []struct {
		Layer      json.RawMessage
		In, Out    tensor.Shape
		Training   bool
		Params     map[string][]float32
		X, Dy      []float32
		Y, Dx      []float32
		Grads      map[string][]float32
		Statistics map[string][]float32 // after the step
	}
}

// kerasTolerance of a number that Keras computed in float32 by other roads,
// relative above 1.
const kerasTolerance = 1e-5

func TestKeras(t *testing.T) {
	data, err := os.ReadFile("testdata/keras.json")
	if err != nil {
		t.Fatal(err)
	}
	var ref reference
	if err := json.Unmarshal(data, &ref); err != nil {
		t.Fatal(err)
	}
	k := engine(t, 1)
	for _, c := range ref.Cases {
		t.Run(string(c.Layer), func(t *testing.T) {
			seq, err := nn.Build(decode(t, "["+string(c.Layer)+"]"), c.In, nn.FreshRand(1))
			if err != nil {
				t.Fatal(err)
			}
			if !seq.Out().Equal(c.Out) {
				t.Fatalf("%v becomes %v, want %v", c.In, seq.Out(), c.Out)
			}
			if len(c.Params) != len(seq.Params()) {
				t.Fatalf("%d params, want %d", len(seq.Params()), len(c.Params))
			}
			for _, p := range seq.Params() {
				if len(c.Params[p.Name[2:]]) != len(p.Value.Data) {
					t.Fatalf("%s has %d numbers, want %d", p.Name, len(p.Value.Data), len(c.Params[p.Name[2:]]))
				}
				copy(p.Value.Data, c.Params[p.Name[2:]])
			}
			mode := nn.Inference
			if c.Training {
				mode = nn.Training
			}
			const n = 3
			w := nn.NewWorkspace(k, seq, n, mode)
			g := nn.NewGrads(seq.Params())
			near(t, "y", seq.Forward(w, tensor.From(c.X, append([]int{n}, c.In...)...)).Data, c.Y)
			near(t, "dx", seq.Backward(w, tensor.From(c.Dy, append([]int{n}, c.Out...)...), g).Data, c.Dx)
			g.ApplyStatistics(k)
			for _, p := range seq.Params() {
				if p.Role == nn.Weight {
					near(t, "gradient of "+p.Name, g.Of(p).Data, c.Grads[p.Name[2:]])
				} else if c.Training {
					near(t, p.Name+" after the step", p.Value.Data, c.Statistics[p.Name[2:]])
				}
			}
		})
	}
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, v := range got {
		if !(math.Abs(float64(v-want[i])) <= kerasTolerance*max(1, math.Abs(float64(want[i])))) {
			t.Errorf("%s[%d] = %v, want %v", what, i, v, want[i])
			return
		}
	}
}
