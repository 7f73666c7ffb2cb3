package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
)

// partNames are the parts of a set without official splits, with their shares
// in percent.
var (
	partNames  = []string{"train", "validation", "calibration", "test"}
	partShares = []int{60, 10, 15, 15}
)

// partStream tells the partition's random stream from others of the same seed.
const partStream = 0x73706c6974 // "split"

// permutation is the order of n rows that a seed fixes.
func permutation(n int, seed uint64) []int {
	return rand.New(rand.NewPCG(seed, partStream)).Perm(n)
}

// partition is the rows of one part: stratified by label, 60/10/15/15, in the
// order of a permutation that seed fixes. labels may be nil. The four parts
// are disjoint and together all rows; the number of rows of each depends on n
// alone.
func partition(n int, labels []int, part string, seed uint64) ([]int, error) {
	want := slices.Index(partNames, part)
	if want < 0 {
		return nil, fmt.Errorf("unknown split %q; known: train, validation, calibration, test", part)
	}
	perm := permutation(n, seed)
	rank := make([]int, n)
	for i, r := range perm {
		rank[r] = i
	}
	byClass := slices.Clone(perm)
	if labels != nil {
		sort.SliceStable(byClass, func(a, b int) bool { return labels[byClass[a]] < labels[byClass[b]] })
	}
	var out []int
	assign(n, func(i, part int) {
		if part == want {
			out = append(out, byClass[i])
		}
	})
	slices.SortFunc(out, func(a, b int) int { return rank[a] - rank[b] })
	return out, nil
}

// assign deals positions to parts: each goes to the part that lies furthest
// behind its share, so that every run of positions is split evenly.
func assign(n int, visit func(position, part int)) {
	count := make([]int, len(partShares))
	for i := range n {
		best, bestBehind := 0, 0
		for p, share := range partShares {
			if behind := share*(i+1) - 100*count[p]; p == 0 || behind > bestBehind {
				best, bestBehind = p, behind
			}
		}
		count[best]++
		visit(i, best)
	}
}

// partSize is the number of rows of a part of n.
func partSize(n int, part string) (int, error) {
	want := slices.Index(partNames, part)
	if want < 0 {
		return 0, fmt.Errorf("unknown split %q; known: train, validation, calibration, test", part)
	}
	size := 0
	assign(n, func(_, p int) {
		if p == want {
			size++
		}
	})
	return size, nil
}

// checkRange holds [a, b] against n rows (n < 0: unknown). nil is all.
func checkRange(r []int, n int) error {
	if r == nil {
		return nil
	}
	if len(r) != 2 || r[0] < 0 || r[0] >= r[1] {
		return fmt.Errorf("range %v, want [a, b] with 0 ≤ a < b", r)
	}
	if n >= 0 && r[1] > n {
		return fmt.Errorf("range [%d, %d] of %d rows", r[0], r[1], n)
	}
	return nil
}

// balanced is a class-balanced n of the rows, in their order: of each class
// the first ones, equally many as far as there are, the odd ones to the first
// classes. Without labels, or with n ≥ the number of rows, it is the first n.
func balanced(rows, labels []int, n int) []int {
	if labels == nil || n >= len(rows) {
		return rows[:min(n, len(rows))]
	}
	have := map[int]int{}
	for _, r := range rows {
		have[labels[r]]++
	}
	classes := make([]int, 0, len(have))
	for c := range have {
		classes = append(classes, c)
	}
	slices.Sort(classes)
	quota := map[int]int{}
	for left := n; left > 0; {
		for _, c := range classes {
			if left > 0 && quota[c] < have[c] {
				quota[c]++
				left--
			}
		}
	}
	out := make([]int, 0, n)
	for _, r := range rows {
		if quota[labels[r]] > 0 {
			quota[labels[r]]--
			out = append(out, r)
		}
	}
	return out
}
