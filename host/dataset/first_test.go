package dataset_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// first reads the first rows of a table of so many rows, of which those from
// second on are of another class.
func first(t *testing.T, rows, second int, src dataset.Source, want dataset.Enough) (dataset.First, error) {
	t.Helper()
	var b strings.Builder
	b.WriteString("height,width,kind\n")
	for i := range rows {
		kind := "low"
		if i >= second {
			kind = "high"
		}
		fmt.Fprintf(&b, "%d,%d.5,%s\n", i, i, kind)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	src.File, src.Label = "t.csv", "kind"
	c := builtin.Components()
	return dataset.ReadFirst(src, dir, c.Datasets, c.Formats, want)
}

func TestReadFirst(t *testing.T) {
	few := func(least int) func(int) bool { return func(n int) bool { return n >= least } }
	for _, c := range []struct {
		name         string
		rows, second int
		src          dataset.Source
		want         dataset.Enough
		count        int // -1: not counted
		seen         string
		whole        bool
		classes      int // 0: not known
	}{
		{"nothing is asked", 500, 300, dataset.Source{}, dataset.Enough{}, -1, "low", false, 0},
		{"two classes", 500, 300, dataset.Source{}, dataset.Enough{Classes: 2}, -1, "low high", false, 0},
		{"one class to the end", 500, 500, dataset.Source{}, dataset.Enough{Classes: 2}, 500, "low", true, 1},
		{"short", 9, 5, dataset.Source{}, dataset.Enough{}, 9, "low high", true, 2},
		{"enough rows", 500, 0, dataset.Source{}, dataset.Enough{Rows: few(100)}, -1, "high", false, 0},
		{"too few rows", 500, 0, dataset.Source{}, dataset.Enough{Rows: few(501)}, 500, "high", true, 1},
		{"too few rows of a part", 500, 0, dataset.Source{Split: "calibration"}, dataset.Enough{Rows: few(76)}, 75, "high", true, 1},
		{"a limit", 500, 0, dataset.Source{Limit: 20}, dataset.Enough{Rows: few(21)}, 20, "high", true, 1},
		{"classes of a range", 500, 300, dataset.Source{Range: []int{300, 400}}, dataset.Enough{Classes: 2}, 100, "high", true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := first(t, c.rows, c.second, c.src, c.want)
			if err != nil {
				t.Fatal(err)
			}
			if f.Rows != c.count || !slices.Equal(f.Seen, strings.Fields(c.seen)) || f.Whole != c.whole || f.Classes != c.classes {
				t.Errorf("rows %d, classes %v (%d), whole %v; want %d, %s (%d), %v", f.Rows, f.Seen, f.Classes, f.Whole, c.count, c.seen, c.classes, c.whole)
			}
		})
	}
	if _, err := first(t, 500, 0, dataset.Source{Range: []int{400, 501}}, dataset.Enough{}); err == nil || !strings.Contains(err.Error(), "[400, 501] of 500 rows") {
		t.Errorf("a range past the end of a table: %v", err)
	}
}
