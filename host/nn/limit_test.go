package nn

import (
	"math"
	"testing"
)

func TestFits(t *testing.T) {
	for _, shape := range [][]int{{}, {0}, {MaxNumbers}, {1 << 14, 1 << 14}, {0, MaxNumbers}} {
		if err := Fits(shape...); err != nil {
			t.Errorf("%v: %v", shape, err)
		}
	}
	for _, shape := range [][]int{{-1}, {MaxNumbers + 1}, {1 << 14, 1<<14 + 1}, {math.MaxInt}, {MaxNumbers, math.MaxInt}, {MaxNumbers, MaxNumbers, MaxNumbers}, {0, math.MinInt}} {
		if Fits(shape...) == nil {
			t.Errorf("%v fits", shape)
		}
	}
}
