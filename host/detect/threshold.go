package detect

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// Threshold is the score above which an input is flagged, and the rule that
// it came from.
type Threshold struct {
	Value float64
	Rule  Rule
	N     int // number of calibration scores; 0 for a given value
	Rank  int // Value is the Rank-th smallest of them, from 1; 0 for value and percentile
	// ByClass are the thresholds by predicted class, which Align reduces to
	// Value, that of all classes together; nil: there is only one.
	ByClass []ClassThreshold
}

// NewThreshold applies a rule to calibration scores, sorted ascending. The
// error says how many scores the rule needs.
func NewThreshold(rule Rule, sorted []float64) (Threshold, error) {
	t := Threshold{Rule: rule, N: len(sorted)}
	set := 0
	for _, v := range []*float64{rule.FPR, rule.Percentile, rule.Value} {
		if v != nil {
			set++
		}
	}
	if set != 1 || rule.Confidence != nil && rule.FPR == nil {
		return t, fmt.Errorf("threshold: want exactly one of fpr (with confidence, if wanted), percentile and value")
	}
	switch {
	case rule.Value != nil:
		if math.IsNaN(*rule.Value) {
			return t, fmt.Errorf("threshold: value is not a number")
		}
		t.Value = *rule.Value
		return t, nil
	case len(sorted) == 0:
		return t, fmt.Errorf("threshold: fpr and percentile need calibration data")
	case rule.Percentile != nil:
		if !(*rule.Percentile >= 0 && *rule.Percentile <= 100) {
			return t, fmt.Errorf("threshold: percentile %g, want 0 to 100", *rule.Percentile)
		}
		t.Value = Percentile(sorted, *rule.Percentile)
		return t, nil
	}
	k, err := 0, error(nil)
	if rule.Confidence != nil {
		k, err = PACRank(len(sorted), *rule.FPR, 1-*rule.Confidence)
	} else {
		k, err = ConformalRank(len(sorted), *rule.FPR)
	}
	if err != nil {
		return t, fmt.Errorf("threshold: %w", err)
	}
	t.Rank, t.Value = k, sorted[k-1]
	return t, nil
}

// Percentile is the q-th percentile, 0 ≤ q ≤ 100, of at least one value sorted
// ascending, linearly interpolated as numpy does by default.
func Percentile(sorted []float64, q float64) float64 {
	at := q / 100 * float64(len(sorted)-1)
	i := int(math.Floor(at))
	if i >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	a, b, t := sorted[i], sorted[i+1], at-float64(i)
	if t >= 0.5 {
		return b - (b-a)*(1-t)
	}
	return a + (b-a)*t
}

// rounding forgives (n+1)·α a little less than the whole number that it is
// meant to be.
const rounding = 1e-9

// ConformalRank is the split conformal rank k: flagging what exceeds the k-th
// smallest of n exchangeable clean scores has an expected false-positive rate
// of at most alpha. k = n + 1 − ⌊(n+1)·α⌋ (Vovk et al. 2005).
func ConformalRank(n int, alpha float64) (int, error) {
	if !(alpha > 0 && alpha < 1) {
		return 0, fmt.Errorf("fpr %g, want between 0 and 1", alpha)
	}
	k := n + 1 - int(math.Floor(float64(n+1)*alpha+rounding))
	if k > n {
		need := int(math.Ceil((1-rounding)/alpha)) - 1
		return 0, fmt.Errorf("fpr %g needs at least %d calibration scores, got %d", alpha, need, n)
	}
	return max(k, 1), nil
}

// PACRank is the smallest rank k for which, with probability at least
// 1 − delta over calibration sets of n, the false-positive rate of flagging
// what exceeds the k-th smallest score is at most alpha: given the set, the
// rate of continuous scores is Beta(n+1−k, k) (Vovk 2012). It exists if and
// only if n ≥ ln δ / ln(1−α).
func PACRank(n int, alpha, delta float64) (int, error) {
	if !(alpha > 0 && alpha < 1) {
		return 0, fmt.Errorf("fpr %g, want between 0 and 1", alpha)
	}
	if !(delta > 0 && delta < 1) {
		return 0, fmt.Errorf("confidence %g, want between 0 and 1", 1-delta)
	}
	holds := func(k int) bool {
		rate := distuv.Beta{Alpha: float64(n + 1 - k), Beta: float64(k)}
		return rate.CDF(alpha) >= 1-delta
	}
	if n < 1 || !holds(n) {
		need := int(math.Ceil(math.Log(delta)/math.Log1p(-alpha) - rounding))
		return 0, fmt.Errorf("fpr %g with confidence %g needs at least %d calibration scores, got %d", alpha, 1-delta, need, n)
	}
	// The probability grows with k.
	return 1 + sort.Search(n-1, func(i int) bool { return holds(i + 1) }), nil
}

// PValue is (1 + #{calibration ≥ s})/(n + 1), of n ≥ 1 calibration scores
// sorted ascending.
func PValue(sorted []float64, s float64) float64 {
	below, _ := slices.BinarySearch(sorted, s)
	return float64(1+len(sorted)-below) / float64(len(sorted)+1)
}
