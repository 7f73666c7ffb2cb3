package metrics

import (
	"math"
	"testing"

	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestRows(t *testing.T) {
	p, q := []float64{.7, .3}, []float64{.4, .6}
	logits := func(p []float64) *tensor.Tensor {
		return tensor.From([]float32{float32(math.Log(p[0])), float32(math.Log(p[1]))}, 1, 2)
	}
	probabilities := func(p []float64) *tensor.Tensor {
		return tensor.From([]float32{float32(p[0]), float32(p[1])}, 1, 2)
	}
	kl := func(p, q []float64) float64 { return p[0]*math.Log(p[0]/q[0]) + p[1]*math.Log(p[1]/q[1]) }
	want := map[string]float64{"mse": (1 + 4) / 2., "mae": 1.5, "kl": kl(p, q), "reverse_kl": kl(q, p), "accuracy": 0, "confidence": .6}
	x := tensor.From([]float32{1, 2}, 1, 2)
	for kind, wrap := range map[sdk.OutputKind]func([]float64) *tensor.Tensor{sdk.Logits: logits, sdk.Probabilities: probabilities} {
		s := &train.Step{X: x, Rebuilt: tensor.From([]float32{0, 4}, 1, 2), P: wrap(p), Q: wrap(q)}
		for _, e := range Table().Entries() {
			dst := []float64{math.NaN()}
			e.Default.Rows(dst, s, train.Setup{Output: kind, Temperature: .5})
			w, ok := want[e.Name]
			if !ok {
				t.Errorf("%s has no expected value", e.Name)
			}
			if math.Abs(dst[0]-w) > 1e-6 {
				t.Errorf("%s = %v, want %v", e.Name, dst[0], w)
			}
		}
	}
}
