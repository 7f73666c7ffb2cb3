package report

import (
	_ "embed"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed thresholds.html
var thresholdsHTML string

// thresholds are those by predicted class, with what was promised of each.
type thresholds struct {
	Promised float64
	Classes  []evaluate.ClassRate
	Rest     int // classes that the table leaves out
}

// thresholdsData shows detectors whose thresholds are by class.
func thresholdsData(p *Page) (any, bool) {
	r := p.Report
	all := r.Clean.Classes
	rest := max(0, len(all)-mostClasses)
	return thresholds{float64(r.Detector.PromisedFPR), all[:len(all)-rest], rest}, len(all) > 0
}
