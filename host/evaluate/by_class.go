package evaluate

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/detect"
)

// ClassRate is one predicted class of a detector whose thresholds are by class:
// what it was promised, and what happens on clean test rows.
type ClassRate struct {
	Class       int      `json:"class"`
	Name        string   `json:"name"`
	Threshold   float64  `json:"threshold"`
	Calibration int      `json:"n_calibration"`    // scores of the class
	Pooled      bool     `json:"pooled,omitempty"` // too few of them: the threshold is that of all classes
	Shared      bool     `json:"shared,omitempty"` // too few of them: the threshold is that of all such classes
	N           int      `json:"n"`                // clean test rows predicted as the class
	FPR         Number   `json:"fpr"`              // share of them that is flagged; null: there are none
	CI95        Interval `json:"ci95"`
}

// classRates are the false alarms by predicted class; nil without thresholds by
// class.
func (e *evaluation) classRates(r *detect.Result) []ClassRate {
	var out []ClassRate
	for c, t := range e.o.ClassThresholds {
		rate := ClassRate{Class: c, Name: e.className(c), Threshold: t.Value, Calibration: t.N, Pooled: !t.Own, Shared: t.Shared}
		flagged := 0
		for i, p := range r.Predicted {
			if p != c {
				continue
			}
			if rate.N++; r.Adversarial[i] {
				flagged++
			}
		}
		rate.FPR, rate.CI95 = ratio(flagged, rate.N), ClopperPearson(flagged, rate.N)
		out = append(out, rate)
	}
	return out
}

// className is the name of a class, its number where it has none.
func (e *evaluation) className(c int) string {
	if c < len(e.o.ClassNames) {
		return e.o.ClassNames[c]
	}
	return fmt.Sprint(c)
}
