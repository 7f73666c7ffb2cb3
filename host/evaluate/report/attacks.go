package report

import (
	_ "embed"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed attacks.html
var attacksHTML string

// attacksTable are the attacks on the classifier alone.
type attacksTable struct {
	Clean    evaluate.CleanReport
	Rows     []attackRow
	Worst    *evaluate.WorstReport
	Controls bool // there are some
}

// attackRow is one attack.
type attackRow struct {
	evaluate.AttackReport
	Unit string // of eps
}

func attacksData(p *Page) (any, bool) {
	t := attacksTable{Clean: p.Report.Clean, Worst: p.Report.WorstCase}
	for _, a := range p.Report.Attacks {
		t.Rows = append(t.Rows, attackRow{a, epsUnit(a.Params)})
		t.Controls = t.Controls || a.Control
	}
	return t, len(t.Rows) > 0
}
