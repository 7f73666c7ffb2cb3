package report

import (
	_ "embed"
	"fmt"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed verdict.html
var verdictHTML string

func verdictData(p *Page) (any, bool) { return judge(p.Report), true }

// verdict is what somebody reads who reads nothing else.
type verdict struct {
	Class     string // good, fair or bad
	Headline  string
	Sentences []string
}

// known are the attacks that count: those that fooled the classifier on some
// row, controls left out.
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
		v.Headline = "No attack fooled the classifier: nothing can be said about the guard"
		v.Sentences = []string{fmt.Sprintf("On clean inputs it raises a false alarm on %s.", percent(r.Clean.FPR))}
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
		v.Class, grade = "good", "The guard catches nearly all known attacks"
	case worst.Detected >= 0.6:
		grade = "The guard catches most known attacks"
	case best.Detected >= 0.6:
		grade = "The guard catches some attacks and misses others"
	default:
		v.Class, grade = "bad", "The guard misses most attacks"
	}
	switch {
	case !tried:
		v.Headline = grade + "; attackers who know it were not tried"
		if v.Class == "good" {
			v.Class = "fair"
		}
	case evaded <= 0.15:
		v.Headline = grade + ", and withstands most attackers who know it"
	case evaded <= 0.5:
		v.Headline = grade + "; attackers who know it get past it often"
		if v.Class == "good" {
			v.Class = "fair"
		}
	default:
		v.Headline = grade + "; attackers who know it get past it"
		v.Class = "bad"
	}
	v.Sentences = append(v.Sentences, caught(worst, best, r))
	if lift.AccuracyCorrected > lift.Accuracy {
		v.Sentences = append(v.Sentences, fmt.Sprintf(
			"Answering flagged inputs from their reconstruction lifts accuracy under %s from %s to %s; on clean inputs it changes from %s to %s.",
			lift.ID, percent(lift.Accuracy), percent(lift.AccuracyCorrected), percent(r.Clean.Accuracy), percent(r.Clean.AccuracyCorrected)))
	}
	if tried {
		v.Sentences = append(v.Sentences, slips(evaded))
	} else {
		v.Sentences = append(v.Sentences, "No attack on the guard itself was run. Expect less against somebody who knows it.")
	}
	return v
}

// judgeAdaptive judges by attacks on the guard alone.
func judgeAdaptive(r *evaluate.Report, evaded float64) verdict {
	v := verdict{Class: "bad", Headline: "Attackers who know the guard get past it"}
	switch {
	case evaded <= 0.15:
		v = verdict{Class: "good", Headline: "The guard withstands most attackers who know it"}
	case evaded <= 0.5:
		v = verdict{Class: "fair", Headline: "Attackers who know the guard get past it often"}
	}
	v.Sentences = []string{slips(evaded), fmt.Sprintf("On clean inputs it raises a false alarm on %s. No attack that ignores the guard was run.", percent(r.Clean.FPR))}
	return v
}

func slips(evaded float64) string {
	return fmt.Sprintf("An attacker who knows classifier and guard, and tries every adaptive attack below, gets %s of inputs misclassified and unnoticed.", percent(evaded))
}

func caught(worst, best evaluate.AttackReport, r *evaluate.Report) string {
	if worst.ID == best.ID {
		return fmt.Sprintf("Of the %s inputs that fooled the classifier it flags %s, and raises a false alarm on %s of clean inputs.",
			worst.ID, percent(float64(worst.Detected)), percent(r.Clean.FPR))
	}
	return fmt.Sprintf("Of the inputs that fooled the classifier it flags between %s (%s, the hardest) and %s (%s), and raises a false alarm on %s of clean inputs.",
		percent(float64(worst.Detected)), worst.ID, percent(float64(best.Detected)), best.ID, percent(r.Clean.FPR))
}

// adaptive is the share of inputs that some adaptive attack gets through.
func adaptive(r *evaluate.Report) (evaded float64, tried bool) {
	if r.AdaptiveUnion == nil || r.AdaptiveUnion.N == 0 {
		return 0, false
	}
	return float64(r.AdaptiveUnion.Evaded), true
}
