package evaluate_test

import (
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// limit bounds the clean rows as well, clean_limit asks for more of them, and
// what is attacked is the same rows with the same result either way.
func TestCleanLimit(t *testing.T) {
	all := options()
	rowsOf := func(d *evaluate.Details, of []int) [][]float32 {
		var out [][]float32
		for _, i := range of {
			out = append(out, d.X.Row(i))
		}
		return out
	}
	var first *evaluate.Details
	var rates []evaluate.CorruptionReport
	for _, c := range []struct{ clean, want int }{{-1, 300}, {0, 40}, {100, 100}, {5, 40}, {1000, 300}} {
		o := options()
		o.Limit, o.Clean = 40, c.clean
		r, d := run(t, o)
		if r.Clean.N != c.want || d.X.N() != c.want || len(d.Clean) != c.want || len(d.Labels) != c.want {
			t.Fatalf("clean_limit %d: %d clean rows, %d in the details, want %d", c.clean, r.Clean.N, d.X.N(), c.want)
		}
		if first == nil {
			first, rates = d, r.Corruptions
			continue
		}
		for j, a := range d.Attacks {
			b := first.Attacks[j]
			if len(a.Rows) != len(b.Rows) || !slices.EqualFunc(rowsOf(d, a.Rows), rowsOf(first, b.Rows), slices.Equal) {
				t.Fatalf("clean_limit %d: %s attacks other rows", c.clean, a.ID)
			}
			if !a.Adaptive && !slices.Equal(a.Adversarial.XAdv.Data, b.Adversarial.XAdv.Data) {
				t.Errorf("clean_limit %d: %s makes other rows", c.clean, a.ID)
			}
			for _, e := range a.Examples {
				if !slices.Equal(e.Original, all.X.Row(e.Row)) || e.Label != all.Labels[e.Row] {
					t.Errorf("clean_limit %d: %s: the example is not row %d of the test set", c.clean, a.ID, e.Row)
				}
			}
		}
		for j, got := range r.Corruptions {
			if got.Flagged != rates[j].Flagged {
				t.Errorf("clean_limit %d: corruption %s flags %v, want %v", c.clean, got.Name, got.Flagged, rates[j].Flagged)
			}
		}
	}
}
