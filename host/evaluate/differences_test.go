package evaluate_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// waves is a classifier whose logits are sines of a sum of the features, so
// steep that they bend within a step of differences. Its gradient is factor
// times the right one.
type waves struct {
	sdk.Classifier // Info: that of the toy model
	factor         float64
}

const steepness = 1000 // a step of 1/1000 in each of 12 features is about 3 radians

func (waves) phase(row []float32, c int) float64 {
	sum := 0.0
	for j, v := range row {
		sum += float64(v) * (0.7 + 0.05*float64(j))
	}
	return steepness*sum + 2*float64(c)
}

func (w waves) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y := tensor.New(x.N(), 4)
	for i := range x.N() {
		for c := range 4 {
			y.Row(i)[c] = float32(math.Sin(w.phase(x.Row(i), c)))
		}
	}
	return y, nil
}

func (w waves) Forward(ctx context.Context, x *tensor.Tensor, _ ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	y, err := w.Predict(ctx, x)
	x = x.Clone()
	return map[string]*tensor.Tensor{sdk.Output: y}, func(_ context.Context, dy map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx := tensor.New(x.Shape...)
		for i := range x.N() {
			for c := range 4 {
				slope := w.factor * steepness * math.Cos(w.phase(x.Row(i), c)) * float64(dy[sdk.Output].Row(i)[c])
				for j := range dx.Row(i) {
					dx.Row(i)[j] += float32(slope * (0.7 + 0.05*float64(j)))
				}
			}
		}
		return dx, nil
	}, err
}

// An exact gradient of a steep model is no cause for alarm, and a wrong one is.
func TestDifferencesOfSteepModels(t *testing.T) {
	for _, c := range []struct {
		factor float64
		warned bool
	}{{1, false}, {1.5, true}, {-1, true}} {
		o := options()
		o.Classifier, o.Adaptive, o.CurveRows, o.Corruptions, o.Attacks = waves{o.Classifier, c.factor}, -1, -1, nil, nil
		r, _ := run(t, o)
		if got := strings.Contains(strings.Join(r.Warnings, "\n"), "gradients differ from finite differences"); got != c.warned {
			t.Errorf("gradient × %g: warned %v, want %v: %q", c.factor, got, c.warned, r.Warnings)
		}
	}
}
