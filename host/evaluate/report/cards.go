package report

import (
	_ "embed"
	"fmt"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed cards.html
var cardsHTML string

func cardsData(p *Page) (any, bool) { return cards(p.Report), true }

// card is one large number.
type card struct{ Value, Label, Note string }

func cards(r *evaluate.Report) []card {
	out := []card{
		{percent(r.Classifier.Accuracy), "accuracy of the classifier", "clean test rows, no attack"},
		{percent(r.Clean.FPR), "false-alarm rate", "on " + fmt.Sprint(r.Clean.N) + " clean rows " + interval(r.Clean.CI95["fpr"])},
	}
	if w := r.WorstCase; w != nil && w.NSuccess > 0 {
		out = append(out,
			card{percent(float64(w.Detected)), "detected, worst case", "under every attack that succeeds on the row"},
			card{percent(float64(w.AccuracyCorrected)), "corrected accuracy, worst case", "classifier alone: " + percent(float64(w.Accuracy))})
	}
	if evaded, tried := adaptive(r); tried {
		out = append(out, card{percent(evaded), "evaded by adaptive attacks", "misclassified and not flagged"})
	}
	if ms := r.Detector.MsPerInstance; ms > 0 {
		out = append(out, card{fmt.Sprintf("%.3g ms", ms), "detection time per input", "classifier included"})
	}
	return out
}
