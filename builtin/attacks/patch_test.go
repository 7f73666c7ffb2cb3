package attacks

import (
	"context"
	"math"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// On a linear model and a row in the middle of the box the best patch is where the weights are
// largest, and gains half of their sum: a class with a lead of less falls, with one of more
// it stays. Only that square changes.
func TestPatchOnALinearModel(t *testing.T) {
	const side = 4 // 16 features as a grid of 4 × 4
	w := attacktest.Uniform(1, side*side, -1, 1, 9).Data
	top, at := 0.0, 0
	for i := range 3 * side {
		if i%side == side-1 {
			continue
		}
		sum := 0.0
		for _, j := range []int{i, i + 1, i + side, i + side + 1} {
			sum += math.Abs(float64(w[j]))
		}
		if sum > top {
			top, at = sum, i
		}
	}
	x := tensor.New(1, side*side)
	lead := float32(0)
	for j := range x.Data {
		x.Data[j] = .5
		lead += w[j] * .5
	}
	for _, f := range []float64{.99, 1.01} {
		m := attacktest.Linear{W: [][]float32{make([]float32, side*side), w}, B: []float32{float32(f*top/2) + lead, 0}, Lo: []float32{0}, Hi: []float32{1}}
		adv, err := attack.Run(context.Background(), m, x, []int{0}, &Patch{Norm: "l0", Eps: 4, Steps: 20, Step: .2, Places: 1}, attack.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if adv.Success[0] != (f < 1) {
			t.Errorf("at %g of what the patch gains: success %v", f, adv.Success[0])
		}
		for j, v := range adv.XAdv.Data {
			d := j - at
			if inside := d == 0 || d == 1 || d == side || d == side+1; !inside && v != .5 {
				t.Errorf("feature %d is outside the square at %d, and %v", j, at, v)
			}
		}
		if adv.Norm[0] > 4 {
			t.Errorf("%v features changed", adv.Norm[0])
		}
	}
}

// All channels of a pixel change together, a patch too small for one is none, and places do
// not overlap.
func TestPatchPlaces(t *testing.T) {
	g := newGrid(tensor.Shape{6, 8, 3})
	for eps, want := range map[float64]int{2: 0, 3: 1, 11: 1, 12: 2, 27: 3, 1000: 6, math.Inf(1): 6} {
		if got := g.side(eps); got != want {
			t.Errorf("a side of %d for %g features, want %d", got, eps, want)
		}
	}
	grad := attacktest.Uniform(1, 6*8*3, -1, 1, 2).Data
	places := g.sensitivity(grad, 3, attack.Box{Lo: []float32{0}, Hi: []float32{2}})
	covered := map[int]bool{}
	last, n := math.Inf(1), 0
	for {
		before := append([]float64(nil), places...)
		at := g.take(places, 3)
		if at < 0 {
			break
		}
		if before[at] > last {
			t.Errorf("the place at %d is more sensitive than the one before", at)
		}
		last, n = before[at], n+1
		for ch := range 3 {
			g.each(at/g.w, at%g.w, 3, ch, func(j, _, _ int) {
				if covered[j] {
					t.Errorf("feature %d is in two places", j)
				}
				covered[j] = true
			})
		}
	}
	if n < 2 || len(covered) != 27*n {
		t.Errorf("%d places cover %d features", n, len(covered))
	}
}
