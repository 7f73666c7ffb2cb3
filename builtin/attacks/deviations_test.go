package attacks

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// In standard deviations as well a row outside the legal range stays in its ball, and what is
// said of it is what the model says of the row that comes back: with and without constraints.
func TestDeviationsOutsideTheRange(t *testing.T) {
	m := attacktest.Linear{W: [][]float32{{0, 0, 0}, {3, -4, 1}}, B: []float32{0, .5}, Lo: []float32{0}, Hi: []float32{1}}
	x := tensor.From([]float32{1.5, .2, .7, .3, -2, .1, .3, .6, .9}, 3, 3)
	sigma := []float64{.3, .7, 1.1}
	for name, c := range map[string]*attack.Constraints{
		"free": nil, "constrained": {Columns: []attack.Column{{}, {Min: -5, Max: 5}, {}}},
	} {
		for _, a := range []attack.Attack{
			&PGD{Unit: attack.Unit{EpsUnit: "std"}, Norm: "linf", Eps: .2, Steps: 5, Restarts: 1},
			&DeepFool{Unit: attack.Unit{EpsUnit: "std"}, Norm: "l2", Steps: 50, Candidates: 10, Overshoot: .02},
		} {
			norm, eps := a.Ball()
			adv, err := attack.Run(context.Background(), m, x, []int{1, 1, 0}, a, attack.Options{Deviations: sigma, Constraints: c})
			if err != nil {
				t.Fatal(err)
			}
			small, back := x.Clone(), adv.XAdv.Clone()
			for i := range x.N() {
				for j, s := range sigma {
					small.Row(i)[j] /= float32(s)
					back.Row(i)[j] /= float32(s)
				}
				d := norm.Distance(small.Row(i), back.Row(i))
				if d > eps*(1+1e-5) || math.Abs(d-adv.Norm[i]) > 1e-5 {
					t.Errorf("%s, %s, row %d: %v of %v is %g deviations away, said to be %g, eps %g", name, norm, i, adv.XAdv.Row(i), x.Row(i), d, adv.Norm[i], eps)
				}
			}
			z, err := m.Predict(context.Background(), adv.XAdv)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range adv.PredictedAdv {
				if now := oracle.Argmax(z.Row(i)); p != now || adv.Success[i] != (adv.Predicted[i] == adv.Y[i] && now != adv.Y[i]) {
					t.Errorf("%s, %s, row %d: class %d, said to be %d, success %v", name, norm, i, now, p, adv.Success[i])
				}
			}
		}
	}
}

// A column that is not moved has its bits, on which a tree may turn: neither the class before nor
// success goes by what a change of units rounds.
func TestDeviationsRoundNothing(t *testing.T) {
	x := tensor.From([]float32{3, .5, 7, .5, 11, .5, 13, .5}, 4, 2)
	m := edge{at: []float32{3, 7, 11, 13}}
	for _, s := range []float64{.1, .3, .7, 1.3, 2.9} {
		adv, err := attack.Run(t.Context(), m, x, []int{1, 1, 1, 1}, &Noise{Unit: attack.Unit{EpsUnit: "std"}, Norm: "linf", Eps: .1, Distribution: "uniform"},
			attack.Options{Seed: 1, Deviations: []float64{s, 1}, Constraints: &attack.Constraints{Columns: []attack.Column{{Immutable: true}, {}}}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(adv.Predicted, adv.Y) || slices.Contains(adv.Success, true) {
			t.Errorf("deviation %g: classes %v before, success %v, though no row moved over an edge", s, adv.Predicted, adv.Success)
		}
	}
}

// edge is class 1 where the first feature is one of at, to the bit.
type edge struct{ at []float32 }

func (edge) Info(context.Context) (sdk.Info, error) {
	return sdk.Info{Name: "edge", InputShape: tensor.Shape{2}, Lo: []float32{0}, Hi: []float32{20}, NumClasses: 2, Output: sdk.Logits, Ready: true}, nil
}

func (m edge) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	z := tensor.New(x.N(), 2)
	for i := range x.N() {
		if slices.Contains(m.at, x.Row(i)[0]) {
			z.Row(i)[1] = 1
		} else {
			z.Row(i)[0] = 1
		}
	}
	return z, nil
}
