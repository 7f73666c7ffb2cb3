package report

import (
	_ "embed"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed adaptive.html
var adaptiveHTML string

// adaptiveTable are the attacks that know the detector.
type adaptiveTable struct {
	Rows  []adaptiveRow
	Union *evaluate.UnionReport
	Held  string // how the data's constraints were treated
}

// adaptiveRow is one attack.
type adaptiveRow struct {
	evaluate.AdaptiveReport
	Unit string // of eps
}

func adaptiveData(p *Page) (any, bool) {
	t := adaptiveTable{Union: p.Report.AdaptiveUnion, Held: held(p.Report)}
	for _, a := range p.Report.Adaptive {
		t.Rows = append(t.Rows, adaptiveRow{a, epsUnit(a.Params)})
	}
	return t, len(t.Rows) > 0
}
