package report

import (
	_ "embed"
	"fmt"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed attacks.html
var attacksHTML string

// attacksTable are the attacks on the classifier alone.
type attacksTable struct {
	Clean    evaluate.CleanReport
	Rows     []attackRow
	Worst    *evaluate.WorstReport
	Controls bool   // there are some
	Held     string // how the data's constraints were treated
}

// attackRow is one attack.
type attackRow struct {
	evaluate.AttackReport
	Unit string // of eps
}

// held says whether attacks kept rows possible; "" where nothing says what is.
func held(r *evaluate.Report) string {
	switch {
	case r.Constraints != nil:
		return fmt.Sprintf("Attacks keep rows possible (%s): what an attack proposes is moved to such a row before it is judged.", r.Constraints)
	case r.Unconstrained:
		return "The constraints of the data were set aside: rows may be impossible."
	}
	return ""
}

func attacksData(p *Page) (any, bool) {
	t := attacksTable{Clean: p.Report.Clean, Worst: p.Report.WorstCase, Held: held(p.Report)}
	for _, a := range p.Report.Attacks {
		t.Rows = append(t.Rows, attackRow{a, epsUnit(a.Params)})
		t.Controls = t.Controls || a.Control
	}
	return t, len(t.Rows) > 0
}
