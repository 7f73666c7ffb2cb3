package dataset

import (
	"slices"
	"testing"
)

func TestPartition(t *testing.T) {
	labels := make([]int, 200)
	for i := range labels {
		labels[i] = i % 2 * (i % 4) // 0 half, 1 and 3 a quarter each
	}
	seen := map[int]bool{}
	for i, part := range partNames {
		rows, err := partition(200, labels, part, 0)
		if err != nil {
			t.Fatal(err)
		}
		size, err := partSize(200, part)
		if err != nil || size != len(rows) || size != 2*partShares[i] {
			t.Errorf("%s has %d rows, header says %d", part, len(rows), size)
		}
		zeros := 0
		for _, r := range rows {
			if seen[r] {
				t.Errorf("row %d is in two parts", r)
			}
			seen[r] = true
			if labels[r] == 0 {
				zeros++
			}
		}
		if d := 2*zeros - len(rows); d < -2 || d > 2 {
			t.Errorf("%s: %d of %d rows of a class that has half", part, zeros, len(rows))
		}
		again, _ := partition(200, labels, part, 0)
		other, _ := partition(200, labels, part, 1)
		if !slices.Equal(rows, again) || slices.Equal(rows, other) {
			t.Errorf("%s: the seed does not fix the rows", part)
		}
	}
}

func TestBalanced(t *testing.T) {
	labels := []int{0, 0, 0, 0, 1, 1, 1, 2}
	rows := []int{0, 1, 2, 3, 4, 5, 6, 7}
	for n, want := range map[int][]int{3: {0, 4, 7}, 6: {0, 1, 2, 4, 5, 7}, 9: rows} {
		if got := balanced(rows, labels, n); !slices.Equal(got, want) {
			t.Errorf("balanced %d = %v, want %v", n, got, want)
		}
	}
}

func TestBatches(t *testing.T) {
	var all []int
	for _, b := range Batches(10, 4, 7, 2) {
		all = append(all, b...)
	}
	if !slices.Equal(all, Order(10, 7, 2)) || slices.Equal(all, Order(10, 7, 3)) || slices.Equal(all, Order(10, 8, 2)) {
		t.Error("seed and epoch do not fix the order")
	}
	slices.Sort(all)
	if !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("an epoch visits %v", all)
	}
}
