package evaluate_test

import (
	"slices"
	"strings"
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

// Clean rows that limit took class by class from rows of which one class is most are
// not held to the promise, and said to be another mixture.
func TestSkewIsTold(t *testing.T) {
	rare := options()
	var rows []int
	kept, counts := map[int]int{}, make([]int, slices.Max(rare.Labels)+1)
	for _, y := range rare.Labels {
		counts[y]++
	}
	usual := slices.Index(counts, slices.Max(counts))
	for i, y := range rare.Labels {
		if kept[y]++; y == usual || kept[y] <= 8 {
			rows = append(rows, i)
		}
	}
	rare.X = rare.X.Gather(rows)
	labels := make([]int, len(rows))
	for k, i := range rows {
		labels[k] = rare.Labels[i]
	}
	rare.Labels, rare.PromisedFPR, rare.CalibrationRows = labels, 0.3, 1000
	rare.SkipChecks, rare.CurveRows = true, -1
	for _, c := range []struct {
		clean        int
		told, broken bool
	}{{0, true, false}, {-1, false, true}} {
		o := rare
		o.Limit, o.Clean = 30, c.clean
		r, _ := run(t, o)
		all := strings.Join(r.Warnings, "\n")
		if got := strings.Contains(all, "evaluate.clean_limit: -1 scores all"); got != c.told {
			t.Errorf("clean_limit %d: told %v\n%s", c.clean, got, all)
		}
		if got := strings.Contains(all, "outside the promised"); got != c.broken {
			t.Errorf("clean_limit %d: held to the promise %v\n%s", c.clean, got, all)
		}
		o.PromisedClassFPR = 0.6 // which lowers the rate of all
		if r, _ = run(t, o); strings.Contains(strings.Join(r.Warnings, "\n"), "promised") {
			t.Errorf("a bound of classes: %v", r.Warnings)
		}
	}
}
