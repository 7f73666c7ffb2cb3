package report

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// operating are the thresholds that a detector could have, and what each does.
type operating struct {
	Points operatingPoints
	Rows   []operatingRow // of the table, thresholds that fall
}

// operatingPoints are what the slider of the page has.
type operatingPoints struct {
	Attacks []string         `json:"attacks"`
	Own     int              `json:"own"` // of At: the detector's threshold
	At      []operatingPoint `json:"at"`  // thresholds that rise
}

// operatingPoint is one threshold. Rates are shares of rows with a score above it.
type operatingPoint struct {
	Threshold float64   `json:"threshold"`
	FPR       float64   `json:"fpr"`
	Detected  []float64 `json:"detected"` // by attack
}

// operatingRow is a point of the table.
type operatingRow struct {
	operatingPoint
	Own bool
}

// mostPoints is how many steps the slider has.
const mostPoints = 160

// operatingRates are the false-alarm rates of the table.
var operatingRates = [...]float64{.001, .01, .02, .05, .1, .2}

// operate measures other thresholds; nil without a threshold or a clean row whose
// score is finite.
func operate(d *evaluate.Details, list []*evaluate.AttackDetails) *operating {
	clean := finite(d.Clean) // scores that can be a threshold
	if len(clean) == 0 || math.IsInf(d.Threshold, 0) || math.IsNaN(d.Threshold) {
		return nil
	}
	slices.Sort(clean)
	o := &operating{Points: operatingPoints{Attacks: []string{}}}
	rows := [][]float64{slices.Sorted(slices.Values(d.Clean))}
	for _, a := range list {
		o.Points.Attacks = append(o.Points.Attacks, a.ID)
		rows = append(rows, slices.Sorted(slices.Values(a.Scores(true))))
	}
	at := func(t float64) operatingPoint {
		p := operatingPoint{Threshold: t, FPR: above(rows[0], t), Detected: []float64{}}
		for _, scores := range rows[1:] {
			p.Detected = append(p.Detected, above(scores, t))
		}
		return p
	}
	// Half of the steps are in the upper tenth of the clean scores: what people can
	// live with is there.
	thresholds := []float64{d.Threshold}
	for k := range mostPoints {
		share := float64(k) / (mostPoints / 2) * .9
		if k >= mostPoints/2 {
			share = .9 + .1*float64(k-mostPoints/2)/(mostPoints/2-1)
		}
		thresholds = append(thresholds, clean[int(math.Round(share*float64(len(clean)-1)))])
	}
	slices.Sort(thresholds)
	for _, t := range slices.Compact(thresholds) {
		if t == d.Threshold {
			o.Points.Own = len(o.Points.At)
		}
		o.Points.At = append(o.Points.At, at(t))
	}
	of := map[float64]bool{d.Threshold: true}
	for _, rate := range operatingRates {
		if k := int(rate * float64(len(d.Clean))); k >= 1 && k < len(clean) {
			of[clean[len(clean)-1-k]] = true
		}
	}
	for t := range of {
		o.Rows = append(o.Rows, operatingRow{at(t), t == d.Threshold})
	}
	slices.SortFunc(o.Rows, func(a, b operatingRow) int { return cmp.Compare(b.Threshold, a.Threshold) })
	return o
}

// above is the share of sorted scores that are larger than t. Scores that are not
// a number sort first, and none of them is.
func above(sorted []float64, t float64) float64 {
	i := sort.Search(len(sorted), func(i int) bool { return sorted[i] > t })
	return float64(len(sorted)-i) / float64(len(sorted))
}
