package report

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed provenance.html
var provenanceHTML string

// provenance says where the figures come from.
type provenance struct {
	Facts   []Fact
	Command []string
	Spec    string
}

func provenanceData(p *Page) (any, bool) {
	r := p.Report
	facts := append([]Fact{
		{"classifier", r.Classifier.Name + " " + r.Classifier.Digest}, {"detector", r.Detector.Method + " " + r.Detector.Digest},
		{"threshold", fmt.Sprintf("%.6g", float64(r.Detector.Threshold))}, {"calibration rows", fmt.Sprint(r.Detector.Calibration)},
		{"seed", fmt.Sprint(r.Seed)}, {"spec", r.SpecSHA256}, {"vaeguard", r.Version}, {"evaluation time", fmt.Sprintf("%.1f s", r.Seconds)},
	}, p.Options.Provenance...)
	return provenance{slices.DeleteFunc(facts, func(f Fact) bool { return strings.TrimSpace(f.Value) == "" }), p.Options.Command, p.Options.Spec}, true
}
