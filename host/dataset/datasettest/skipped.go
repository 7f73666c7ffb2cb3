package datasettest

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// skipped passes over rows before the first, after some, and beyond the end.
func (c *conformance) skipped(t *testing.T) {
	n := c.X.N()
	for _, plan := range [][2]int{{0, 1}, {0, n - 1}, {0, n}, {0, n + 5}, {1, 1}, {1, n}} {
		before, skip := plan[0], plan[1]
		r := c.open(t, c.Path)
		row := make([]float32, r.Example().Size())
		next := func(i int) {
			t.Helper()
			if err := r.Next(row); err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
			for k, v := range row {
				if v != c.X.Row(i)[k] {
					t.Fatalf("row %d, number %d: %v, want %v", i, k, v, c.X.Row(i)[k])
				}
			}
		}
		for i := range before {
			next(i)
		}
		if s, ok := r.(dataset.Skipper); ok {
			if got, err := s.Skip(skip); err != nil || got != min(skip, n-before) {
				t.Fatalf("skip of %d after %d of %d rows: %d, %v", skip, before, n, got, err)
			}
			for i := before + skip; i < n; i++ {
				next(i)
			}
			if err := r.Next(row); !isEOF(err) {
				t.Errorf("after %d rows, %d of them passed over: %v", n, skip, err)
			}
		}
		if d, ok := r.(dataset.Divided); ok && d.Units() != nil {
			sum := 0
			for _, u := range d.Units() {
				sum += u
			}
			if sum != n {
				t.Errorf("units %v, %d rows", d.Units(), n)
			}
		}
	}
}
