package watch

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPrints: what rows share, and which are forgotten, is as in a list of them.
func TestPrints(t *testing.T) {
	const each, most = 5, 40
	r := rand.New(rand.NewPCG(2, 3))
	p := prints{each: each, most: most}
	var list [][]uint64
	for row := range 400 {
		print := []uint64{}
		for range 1 + r.IntN(each) {
			print = append(print, r.Uint64N(60)*0x9e3779b97f4a7c15)
		}
		slices.Sort(print)
		print = slices.Compact(print)
		want := 0
		for _, old := range list {
			n := 0
			for _, h := range print {
				if slices.Contains(old, h) {
					n++
				}
			}
			want = max(want, n)
		}
		if got := p.shares(print); got != want {
			t.Fatalf("row %d shares %d hashes, want %d", row, got, want)
		}
		if got := p.keep(print); got != row%most {
			t.Fatalf("row %d is at place %d, want %d", row, got, row%most)
		}
		if list = append(list, print); len(list) > most {
			list = list[1:]
		}
	}
}

// TestTop: the largest hashes are those of sorting them all, whatever of them is equal.
func TestTop(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	s := NewSimilar(SimilarOptions{})
	for _, different := range []int{1, 10, 49, 50, 51, 100, 300, 3000} {
		values := make([]uint64, different)
		for i := range values {
			values[i] = r.Uint64()
		}
		for _, n := range []int{1, 40, 100, 101, 765, 3000} {
			s.hashes = s.hashes[:0]
			for range n {
				s.hashes = append(s.hashes, values[r.IntN(different)])
			}
			want := slices.Compact(slices.Sorted(slices.Values(s.hashes)))
			want = want[max(0, len(want)-s.o.Hashes):]
			if got := s.top(); !slices.Equal(got, want) {
				t.Errorf("%d hashes of %d: the largest are %d from %d on, want %d from %d on", n, different, len(got), got[0], len(want), want[0])
			}
		}
	}
}

// BenchmarkSee is a row of a client who asks about other things each time.
func BenchmarkSee(b *testing.B) {
	r := rand.New(rand.NewPCG(6, 7))
	rows := make([][]float32, 2500)
	for i := range rows {
		rows[i] = make([]float32, 784)
		for j := range rows[i] {
			rows[i][j] = r.Float32()
		}
	}
	s := NewSimilar(SimilarOptions{})
	for i := 0; b.Loop(); i++ {
		s.See("them", rows[i%len(rows)])
	}
}
