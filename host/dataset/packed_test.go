package dataset

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestGathering: rows are to the last bit what was added, as bytes as long as there are at
// most 256 values a channel, and as numbers after one more.
func TestGathering(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		example tensor.Shape
		number  func(row, at int) float32
		packed  bool
	}{
		"bytes":              {tensor.Shape{4, 5, 1}, func(int, int) float32 { return float32(r.IntN(256)) }, true},
		"intensities":        {tensor.Shape{4, 5, 3}, func(int, int) float32 { return float32(r.IntN(256)) / 255 }, true},
		"a map a channel":    {tensor.Shape{9, 7, 3}, func(_, at int) float32 { return (float32(r.IntN(256))/255 - .1*float32(at%3)) / .3 }, true},
		"zeros of two signs": {tensor.Shape{3}, func(_, at int) float32 { return float32(math.Copysign(0, float64(at-1))) }, true},
		"fractions":          {tensor.Shape{30}, func(int, int) float32 { return r.Float32() }, false},
		"one more at last":   {tensor.Shape{2}, func(row, at int) float32 { return float32(2*row + at + row/127) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			const rows = 150
			n := rows
			if name == "one more at last" {
				n = 129 // 258 values
			}
			want := tensor.Batch(n, c.example)
			g := newGathering(c.example, 3, true)
			for i := range n {
				for j := range want.Row(i) {
					want.Row(i)[j] = c.number(i, j)
				}
				g.add(want.Row(i))
			}
			same := func(got *tensor.Tensor, index []int) {
				t.Helper()
				if !slices.EqualFunc(got.Data, want.Gather(index).Data, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
					t.Error("the rows are others")
				}
			}
			index := r.Perm(n)[:n/2]
			for _, some := range [][]int{nil, index} {
				d := &Data{}
				g.give(d, some)
				if some == nil {
					some = r.Perm(n)
					slices.Sort(some)
				}
				if c.packed != (d.Packed != nil) || c.packed == (d.X != nil) || d.N() != len(some) || !d.Example().Equal(c.example) {
					t.Fatalf("packed %t, %d rows of %v", d.Packed != nil, d.N(), d.Example())
				}
				same(d.Expanded().X, some)
				order := r.Perm(d.N())
				x, err := Take(d.Examples(), order)
				if err != nil {
					t.Fatal(err)
				}
				for i := range order {
					order[i] = some[order[i]]
				}
				same(x, order)
			}
		})
	}
}
