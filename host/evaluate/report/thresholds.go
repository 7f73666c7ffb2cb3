package report

import (
	_ "embed"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed thresholds.html
var thresholdsHTML string

// thresholds are those by predicted class, with what was promised of each.
type thresholds struct {
	Promised float64 // of a class
	All      float64 // of all rows
	Classes  []evaluate.ClassRate
	Rest     int // classes that the table leaves out
}

// thresholdsData shows detectors whose thresholds are by class.
func thresholdsData(p *Page) (any, bool) {
	r := p.Report
	all := r.Clean.Classes
	promised := r.Detector.ClassFPR
	if !(promised > 0) { // in reports of before
		promised = r.Detector.PromisedFPR
	}
	rest := max(0, len(all)-mostClasses)
	return thresholds{float64(promised), float64(r.Detector.PromisedFPR), all[:len(all)-rest], rest}, len(all) > 0
}
