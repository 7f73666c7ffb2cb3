package cli

import (
	"slices"
	"testing"
)

// The best of a line is marked where there is one: not of what has no direction,
// nor where a run lacks the figure, nor where all are alike.
func TestBest(t *testing.T) {
	v := func(x float64) *float64 { return &x }
	for _, c := range []struct {
		name   string
		values []*float64
		up     int
		want   []int
	}{
		{"more", []*float64{v(.1), v(.3), v(.2)}, 1, []int{1}},
		{"less", []*float64{v(.1), v(.3), v(.1)}, -1, []int{0, 2}},
		{"alike", []*float64{v(.1), v(.1)}, 1, nil},
		{"no direction", []*float64{v(.1), v(.2)}, 0, nil},
		{"missing", []*float64{v(.1), nil}, 1, nil},
	} {
		if got := best(c.values, c.up); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
