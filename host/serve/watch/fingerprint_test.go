package watch

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFingerprint: the fingerprint is what sorting all hashes gives, of rows that repeat themselves too.
func TestFingerprint(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	o := SimilarOptions{}.withDefaults()
	p := new(fingerprint)
	for n := range 200 {
		row := make([]float32, 1+r.IntN(1000))
		for i := range row {
			if row[i] = r.Float32(); n%3 == 0 {
				row[i] = float32(i % (1 + n/3)) // of few windows
			}
		}
		p.take(row, o)
		w := min(20, max(1, len(row)/3))
		var want []uint64
		for i := 0; i+w <= len(row); i++ {
			want = append(want, maphash.Bytes(o.Seed, p.levels[i:i+w]))
		}
		slices.Sort(want)
		want = slices.Compact(want)
		want = want[max(0, len(want)-o.Hashes):]
		if !slices.Equal(p.hashes, want) {
			t.Fatalf("row %d of %d numbers: %d hashes, want %d", n, len(row), len(p.hashes), len(want))
		}
	}
}

// BenchmarkSee is a picture of 224 by 224 in three colours.
func BenchmarkSee(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	row := make([]float32, 224*224*3)
	for i := range row {
		row[i] = r.Float32()
	}
	s := NewSimilar(SimilarOptions{})
	for i := range b.N {
		row[i%len(row)] = r.Float32()
		s.See("a", row)
	}
}

// BenchmarkSeeSmall is a row of 784 numbers, of a client who asks about other things each time.
func BenchmarkSeeSmall(b *testing.B) {
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
