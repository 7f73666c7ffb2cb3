package report

import (
	_ "embed"
	"fmt"

	"github.com/vaeguard/vaeguard/host/health"
)

//go:embed health.html
var healthHTML string

// healthPage is what the template of the section shows.
type healthPage struct {
	*health.Report
	Alarm bool // a finding is severe
	Rest  int  // classes that the table leaves out
}

// mostClasses bounds the table by class.
const mostClasses = 100

// Cell is a share, or a dash.
func (healthPage) Cell(v *float64) string {
	if v == nil {
		return "–"
	}
	return percent(*v)
}

// Plural is the number of rows and what to call them.
func (h healthPage) Plural() string { return fmt.Sprintf("%d clean rows of data.%s", h.Rows, h.Source) }

// healthData is what the detector did with clean rows when it was calibrated.
func healthData(p *Page) (any, bool) {
	r := p.Report.Health
	if r == nil {
		return nil, false
	}
	shown := *r
	rest := max(0, len(r.Classes)-mostClasses)
	shown.Classes = r.Classes[:len(r.Classes)-rest]
	if h := r.HeldOut; h != nil {
		held := *h
		held.Classes = h.Classes[:len(h.Classes)-rest]
		shown.HeldOut = &held
	}
	return healthPage{&shown, r.Worst() == health.Severe, rest}, true
}
