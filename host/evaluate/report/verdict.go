package report

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed verdict.html
var verdictHTML string

func verdictData(p *Page) (any, bool) { return judge(p.Report), true }

// verdict is the evaluation in a headline and a few sentences.
type verdict struct {
	Class     string // good, fair or bad
	Headline  string
	Sentences []string
}

// known are the attacks that count: those that succeeded on some row, controls
// left out.
func known(r *evaluate.Report) []evaluate.AttackReport {
	var out []evaluate.AttackReport
	for _, a := range r.Attacks {
		if a.NSuccess > 0 && !a.Control {
			out = append(out, a)
		}
	}
	return out
}

func judge(r *evaluate.Report) verdict {
	list := known(r)
	v := verdict{Class: "fair"}
	evaded, tried := adaptive(r)
	if len(list) == 0 && tried {
		return judgeAdaptive(r, evaded)
	}
	if len(list) == 0 {
		v.Headline = "No attack succeeded on the classifier: nothing can be said about the detector"
		v.Sentences = []string{fmt.Sprintf("The false-alarm rate on clean inputs is %s.", percent(r.Clean.FPR))}
		return v
	}
	worst, best, lift := list[0], list[0], list[0]
	for _, a := range list {
		if a.Detected < worst.Detected {
			worst = a
		}
		if a.Detected > best.Detected {
			best = a
		}
		if a.AccuracyCorrected-a.Accuracy > lift.AccuracyCorrected-lift.Accuracy {
			lift = a
		}
	}
	var grade string
	switch {
	case worst.Detected >= 0.9:
		v.Class, grade = "good", "Nearly all attacks on the classifier are detected"
	case worst.Detected >= 0.6:
		grade = "Most attacks on the classifier are detected"
	case best.Detected >= 0.6:
		grade = "Some attacks on the classifier are detected, others are not"
	default:
		v.Class, grade = "bad", "Most attacks on the classifier are not detected"
	}
	switch {
	case !tried:
		v.Headline = grade + "; " + untried(r).Headline
		if v.Class == "good" {
			v.Class = "fair"
		}
	case evaded <= 0.15:
		v.Headline = grade + "; adaptive attacks rarely evade the detector"
	case evaded <= 0.5:
		v.Headline = grade + "; adaptive attacks often evade the detector"
		if v.Class == "good" {
			v.Class = "fair"
		}
	default:
		v.Headline = grade + "; adaptive attacks usually evade the detector"
		v.Class = "bad"
	}
	v.Sentences = append(v.Sentences, detection(worst, best, r))
	if lift.AccuracyCorrected > lift.Accuracy {
		v.Sentences = append(v.Sentences, fmt.Sprintf("Answering flagged inputs from their reconstruction raises accuracy under %s from %s to %s; on clean inputs it %s.",
			lift.ID, percent(lift.Accuracy), percent(lift.AccuracyCorrected), change(r.Clean.Accuracy, r.Clean.AccuracyCorrected)))
	}
	if tried {
		v.Sentences = append(v.Sentences, evasion(evaded))
	} else {
		v.Sentences = append(v.Sentences, untried(r).Sentences[0]+" Expect lower detection rates against an attacker who knows the detector.")
	}
	return v
}

// untried says of an evaluation without attacks that are to evade the detector what was not tried.
func untried(r *evaluate.Report) verdict {
	if len(r.Adaptive) > 0 { // false alarms
		return verdict{Headline: "attacks that evade the detector were not tried", Sentences: []string{"No attack that is to evade the detector was run."}}
	}
	return verdict{Headline: "adaptive attacks were not tried", Sentences: []string{"No adaptive attack was run."}}
}

// change says how a rate changes, as far as its digits show.
func change(from, to float64) string {
	if percent(from) == percent(to) {
		return "stays at " + percent(to)
	}
	return "changes from " + percent(from) + " to " + percent(to)
}

// judgeAdaptive judges by adaptive attacks alone.
func judgeAdaptive(r *evaluate.Report, evaded float64) verdict {
	v := verdict{Class: "bad", Headline: "Adaptive attacks usually evade the detector"}
	switch {
	case evaded <= 0.15:
		v = verdict{Class: "good", Headline: "Adaptive attacks rarely evade the detector"}
	case evaded <= 0.5:
		v = verdict{Class: "fair", Headline: "Adaptive attacks often evade the detector"}
	}
	alone := "was run"
	if slices.ContainsFunc(r.Attacks, func(a evaluate.AttackReport) bool { return !a.Control }) {
		alone = "succeeded"
	}
	v.Sentences = []string{evasion(evaded), fmt.Sprintf("The false-alarm rate on clean inputs is %s. No attack on the classifier alone %s.", percent(r.Clean.FPR), alone)}
	return v
}

func evasion(evaded float64) string {
	return fmt.Sprintf("An attacker who knows classifier and detector and tries every adaptive attack below succeeds on %s of inputs: misclassified and not flagged.", percent(evaded))
}

func detection(worst, best evaluate.AttackReport, r *evaluate.Report) string {
	if worst.ID == best.ID {
		return fmt.Sprintf("Of the inputs on which %s succeeded, %s are detected; the false-alarm rate on clean inputs is %s.",
			worst.ID, percent(float64(worst.Detected)), percent(r.Clean.FPR))
	}
	return fmt.Sprintf("Of the inputs on which an attack succeeded, between %s (%s, the hardest to detect) and %s (%s) are detected; the false-alarm rate on clean inputs is %s.",
		percent(float64(worst.Detected)), worst.ID, percent(float64(best.Detected)), best.ID, percent(r.Clean.FPR))
}

// adaptive is the fraction of inputs on which some adaptive attack evades
// classifier and detector.
func adaptive(r *evaluate.Report) (evaded float64, tried bool) {
	if r.AdaptiveUnion == nil || r.AdaptiveUnion.N == 0 {
		return 0, false
	}
	return float64(r.AdaptiveUnion.Evaded), true
}
