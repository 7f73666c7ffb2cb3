package report

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed provenance.html
var provenanceHTML string

// provenance is what the figures come from.
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
		{"seed", fmt.Sprint(r.Seed)}, {"spec sha256", r.SpecSHA256}, {"version", r.Version}, {"evaluation took", fmt.Sprintf("%.1f s", r.Seconds)},
	}, p.Options.Provenance...)
	return provenance{distinct(facts), p.Options.Command, p.Options.Spec}, true
}

// distinct leaves out what is said already.
func distinct(facts []Fact) []Fact {
	var out []Fact
	for _, f := range facts {
		if f.Value = strings.TrimSpace(f.Value); !slices.ContainsFunc(out, func(g Fact) bool { return strings.HasSuffix(g.Value, f.Value) }) {
			out = append(out, f)
		}
	}
	return out
}
