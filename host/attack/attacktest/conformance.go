package attacktest

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Tolerance is how far a perturbation's norm may exceed eps.
const Tolerance = 1e-6

// Run checks what holds for every attack: ball and box are kept, the same
// seed gives the same bytes, no row depends on the batch that it is in, x
// stays as it was, and an attack that needs no gradients works without.
func Run(t *testing.T, a attack.Attack, o attack.Options) {
	t.Helper()
	mlp := NewMLP(12, 16, 4, 7)
	x := Uniform(9, 12, 0, 1, 3)
	whole := run(t, mlp, x, a, o, 9)
	t.Run("ball and box", func(t *testing.T) { inside(t, whole) })
	t.Run("same seed, same bytes", func(t *testing.T) {
		if again := run(t, mlp, x, a, o, 9); !slices.Equal(whole.XAdv.Data, again.XAdv.Data) {
			t.Error("two runs with one seed differ")
		}
	})
	t.Run("independent of the batch", func(t *testing.T) {
		parts := run(t, mlp, x, a, o, 2)
		for i := range x.N() {
			if !slices.Equal(whole.XAdv.Row(i), parts.XAdv.Row(i)) {
				t.Errorf("row %d differs between batches of 9 and of 2", i)
			}
			if whole.Queries[i] != parts.Queries[i] {
				t.Errorf("row %d: %d queries in a batch of 9, %d in one of 2", i, whole.Queries[i], parts.Queries[i])
			}
		}
	})
	if a.Needs() == attack.NeedsGradients {
		t.Run("refuses a model without gradients", func(t *testing.T) {
			if _, err := attack.Run(context.Background(), PredictionsOnly{mlp}, x, nil, a, o); err == nil {
				t.Error("no error")
			}
		})
		return
	}
	t.Run("predictions suffice", func(t *testing.T) { inside(t, run(t, PredictionsOnly{mlp}, x, a, o, 9)) })
}

func run(t *testing.T, c sdk.Classifier, x *tensor.Tensor, a attack.Attack, o attack.Options, batch int) *attack.Adversarial {
	t.Helper()
	before := x.Clone()
	o.Batch = batch
	adv, err := attack.Run(context.Background(), c, x, nil, a, o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before.Data, x.Data) {
		t.Fatal("the attack changed x")
	}
	return adv
}

func inside(t *testing.T, adv *attack.Adversarial) {
	t.Helper()
	for i := range adv.X.N() {
		d := adv.Ball.Distance(adv.X.Row(i), adv.XAdv.Row(i))
		if d > adv.Eps+Tolerance {
			t.Errorf("row %d: %s norm %g, want ≤ %g", i, adv.Ball, d, adv.Eps)
		}
		if math.Abs(d-adv.Norm[i]) > Tolerance {
			t.Errorf("row %d: recorded norm %g, want %g", i, adv.Norm[i], d)
		}
		for j, v := range adv.XAdv.Row(i) {
			if !(v >= 0 && v <= 1) {
				t.Errorf("row %d, feature %d: %g is outside the box [0, 1]", i, j, v)
			}
		}
		if adv.Success[i] && adv.PredictedAdv[i] == adv.Y[i] {
			t.Errorf("row %d: success without a change of class", i)
		}
	}
}

// Rate is the share of rows on which the attack succeeded.
func Rate(adv *attack.Adversarial) float64 {
	n := 0
	for _, s := range adv.Success {
		if s {
			n++
		}
	}
	return float64(n) / float64(len(adv.Success))
}
