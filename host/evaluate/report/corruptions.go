package report

import (
	_ "embed"
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed corruptions.html
var corruptionsHTML string

// corruptionTable are corruptions by severity.
type corruptionTable struct {
	Levels []int
	Rows   []corruptionRow
}

// corruptionRow is one corruption; a cell is nil where a severity was not
// measured.
type corruptionRow struct {
	Name  string
	Cells []*corruptionCell // by Levels
}

// corruptionCell is one severity.
type corruptionCell struct {
	evaluate.CorruptionReport
	Shade string // strength of the background, 0 to 8
}

func corruptionsData(p *Page) (any, bool) {
	var t corruptionTable
	for _, k := range p.Report.Corruptions {
		if !slices.Contains(t.Levels, k.Severity) {
			t.Levels = append(t.Levels, k.Severity)
		}
	}
	slices.Sort(t.Levels)
	for _, k := range p.Report.Corruptions {
		if n := len(t.Rows); n == 0 || t.Rows[n-1].Name != k.Name {
			t.Rows = append(t.Rows, corruptionRow{k.Name, make([]*corruptionCell, len(t.Levels))})
		}
		t.Rows[len(t.Rows)-1].Cells[slices.Index(t.Levels, k.Severity)] = &corruptionCell{k, shade(float64(k.FlaggedHarmless))}
	}
	return t, len(t.Rows) > 0
}

// shade is the strength of a cell's background: the class h0 … h8.
func shade(v float64) string {
	if math.IsNaN(v) {
		return "0"
	}
	return fmt.Sprintf("%.0f", 8*min(max(v, 0), 1))
}
