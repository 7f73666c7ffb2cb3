package report

import _ "embed"

//go:embed warnings.html
var warningsHTML string

// warningsData are what the evaluation warns of.
func warningsData(p *Page) (any, bool) { return p.Report.Warnings, len(p.Report.Warnings) > 0 }
