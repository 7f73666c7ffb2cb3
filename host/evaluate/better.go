package evaluate

import (
	"fmt"
	"strings"
)

// significance is the p-value, adjusted by Holm, below which Judgement calls two
// detectors different.
const significance = 0.05

// Judgement is what paired tests say of detector A against detector B: which
// ranks successful attacks above clean rows better. It goes by AUC, which does
// not depend on either's threshold.
type Judgement struct {
	// Better is "a" or "b" if that one is significantly better on some attack and
	// significantly worse on none; "" if neither is, or each is on some.
	Better string `json:"better"`
	Text   string `json:"text"`
}

// JudgePairs sums up Compare for people. nameA and nameB are what the text calls
// the detectors.
func JudgePairs(tests []Comparison, nameA, nameB string) Judgement {
	var a, b []string
	tested := 0
	for _, t := range tests {
		if t.DeLongHolm != t.DeLongHolm { // too few successes
			continue
		}
		tested++
		switch {
		case t.DeLongHolm >= significance:
		case t.AUCDifference > 0:
			a = append(a, t.ID)
		default:
			b = append(b, t.ID)
		}
	}
	on := func(ids []string) string { return strings.Join(ids, ", ") }
	switch {
	case tested == 0:
		return Judgement{"", "cannot tell which is better: no attack succeeded on rows that both were given"}
	case len(a) > 0 && len(b) > 0:
		return Judgement{"", fmt.Sprintf("neither is better throughout: %s ranks %s better, %s ranks %s", nameA, on(a), nameB, on(b))}
	case len(a) > 0:
		return Judgement{"a", fmt.Sprintf("%s is better: higher AUC on %d of %d attacks (%s), lower on none", nameA, len(a), tested, on(a))}
	case len(b) > 0:
		return Judgement{"b", fmt.Sprintf("%s is better: higher AUC on %d of %d attacks (%s), lower on none", nameB, len(b), tested, on(b))}
	}
	return Judgement{"", fmt.Sprintf("no significant difference in AUC on any of %d attacks", tested)}
}
