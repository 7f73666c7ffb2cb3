package gradient

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestCostOf: what is counted is what a Source asks.
func TestCostOf(t *testing.T) {
	info := sdk.Info{InputShape: tensor.Shape{8, 8, 1}, NumClasses: 3, Gradient: sdk.ExactGradient}
	of := func(k Kind, g sdk.GradientKind) Cost {
		info.Gradient = g
		return CostOf(Options{Section: Section{Kind: k, Differences: &Differences{Pairs: 20}}}, info, 100, 0)
	}
	for _, c := range []struct {
		kind     Kind
		has      sdk.GradientKind
		settled  Kind
		answers  int
		examples bool
	}{
		{Auto, sdk.ExactGradient, Exact, 0, false},
		{Exact, sdk.ExactGradient, Exact, 0, false},
		{Difference, sdk.ExactGradient, Difference, 128, false},
		{NES, sdk.ExactGradient, NES, 40, false},
		{Auto, sdk.NoGradient, Surrogate, 0, true},
		{Surrogate, sdk.ExactGradient, Surrogate, 0, true},
	} {
		got := of(c.kind, c.has)
		if got.Kind != c.settled || got.PerRow != c.answers || (got.Examples > 0) != c.examples {
			t.Errorf("%s of a classifier with %s: %+v, want %s with %d answers a row", c.kind, c.has, got, c.settled, c.answers)
		}
	}
	for _, rows := range [][2]int{{100, 0}, {100, 30}, {700, 50}, {9000, 3000}, {25_000, 0}} {
		x := func(n int) *tensor.Tensor { return tensor.Batch(n, tensor.Shape{2}) }
		o := Options{Train: dataset.InMemory(x(rows[0]))}
		if rows[1] > 0 {
			o.Validation = x(rows[1])
		}
		o.complete(info)
		b, err := newBase(o, 3)
		if err != nil {
			t.Fatal(err)
		}
		info.Gradient = sdk.NoGradient
		if got := CostOf(Options{}, info, rows[0], rows[1]); got.Asked != b.out.N()+b.heldOut.N() || got.Examples != b.out.N() {
			t.Errorf("%v rows: %+v, want %d asked and %d learnt from", rows, got, b.out.N()+b.heldOut.N(), b.out.N())
		}
	}
}
