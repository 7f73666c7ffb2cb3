package evaluate_test

import (
	"math"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

func TestJudgePairs(t *testing.T) {
	at := func(id string, difference, p float64) evaluate.Comparison {
		return evaluate.Comparison{ID: id, AUCDifference: evaluate.Number(difference), DeLongHolm: evaluate.Number(p)}
	}
	for _, c := range []struct {
		name   string
		tests  []evaluate.Comparison
		better string
		text   string
	}{
		{"a", []evaluate.Comparison{at("pgd", .1, .01), at("fgsm", -.1, .2)}, "a", "X is better: higher AUC on 1 of 2 attacks (pgd)"},
		{"b", []evaluate.Comparison{at("pgd", -.1, .01), at("fgsm", -.1, .049)}, "b", "Y is better: higher AUC on 2 of 2 attacks (pgd, fgsm)"},
		{"mixed", []evaluate.Comparison{at("pgd", -.1, .01), at("fgsm", .1, .01)}, "", "neither is better throughout: X ranks fgsm better, Y ranks pgd"},
		{"same", []evaluate.Comparison{at("pgd", .1, .05)}, "", "no significant difference in AUC on any of 1 attacks"},
		{"nothing", []evaluate.Comparison{at("pgd", math.NaN(), math.NaN())}, "", "cannot tell"},
		{"none", nil, "", "cannot tell"},
	} {
		if got := evaluate.JudgePairs(c.tests, "X", "Y"); got.Better != c.better || !strings.Contains(got.Text, c.text) {
			t.Errorf("%s: %+v, want %q and %q", c.name, got, c.better, c.text)
		}
	}
}
