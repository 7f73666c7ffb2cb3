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
		{percent(r.Clean.FPR), "false alarms", "of " + fmt.Sprint(r.Clean.N) + " clean rows " + interval(r.Clean.CI95["fpr"])},
	}
	if w := r.WorstCase; w != nil && w.NSuccess > 0 {
		out = append(out,
			card{percent(float64(w.Detected)), "caught in the worst case", "under every attack that fools the row"},
			card{percent(float64(w.AccuracyCorrected)), "accuracy corrected, worst case", "of " + percent(float64(w.Accuracy)) + " without the guard"})
	}
	if evaded, tried := adaptive(r); tried {
		out = append(out, card{percent(evaded), "slip past the guard", "made by an attacker who knows it: wrong and unflagged"})
	}
	if ms := r.Detector.MsPerInstance; ms > 0 {
		out = append(out, card{fmt.Sprintf("%.3g ms", ms), "per input", "classifier included"})
	}
	return out
}
