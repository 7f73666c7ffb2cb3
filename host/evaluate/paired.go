package evaluate

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// DeLong compares the AUC of two detectors that scored the same negatives and
// the same positives (DeLong et al. 1988). It returns AUC a − AUC b and the
// two-sided p-value; 1 if the two never differ.
func DeLong(negA, posA, negB, posB []float64) (difference, p float64) {
	if len(negA) != len(negB) || len(posA) != len(posB) {
		panic("evaluate: paired test of unequal samples")
	}
	m, n := len(posA), len(negA)
	if m < 2 || n < 2 {
		return math.NaN(), math.NaN()
	}
	v10a, v01a, aucA := placements(negA, posA)
	v10b, v01b, aucB := placements(negB, posB)
	difference = aucA - aucB
	variance := differenceVariance(v10a, v10b)/float64(m) + differenceVariance(v01a, v01b)/float64(n)
	if variance <= 0 {
		if difference == 0 {
			return 0, 1
		}
		return difference, 0
	}
	z := math.Abs(difference) / math.Sqrt(variance)
	return difference, 2 * distuv.UnitNormal.Survival(z)
}

// placements are, for each positive, the share of negatives below it, and for
// each negative, the share of positives above it; ties count half.
func placements(neg, pos []float64) (v10, v01 []float64, auc float64) {
	below := func(sorted []float64, v float64) float64 {
		lo, _ := slices.BinarySearch(sorted, v)
		hi := lo
		for hi < len(sorted) && sorted[hi] == v {
			hi++
		}
		return float64(lo) + float64(hi-lo)/2
	}
	sn, sp := slices.Sorted(slices.Values(neg)), slices.Sorted(slices.Values(pos))
	v10, v01 = make([]float64, len(pos)), make([]float64, len(neg))
	for i, v := range pos {
		v10[i] = below(sn, v) / float64(len(neg))
		auc += v10[i] / float64(len(pos))
	}
	for i, v := range neg {
		v01[i] = 1 - below(sp, v)/float64(len(pos))
	}
	return v10, v01, auc
}

func differenceVariance(a, b []float64) float64 {
	mean := 0.0
	for i := range a {
		mean += (a[i] - b[i]) / float64(len(a))
	}
	s := 0.0
	for i := range a {
		d := a[i] - b[i] - mean
		s += float64(d * d)
	}
	return s / float64(len(a)-1)
}

// McNemar compares two detectors' right and wrong answers on the same rows:
// the exact two-sided binomial test on the rows on which they differ.
func McNemar(a, b []bool) (onlyA, onlyB int, p float64) {
	if len(a) != len(b) {
		panic("evaluate: paired test of unequal samples")
	}
	for i := range a {
		switch {
		case a[i] && !b[i]:
			onlyA++
		case b[i] && !a[i]:
			onlyB++
		}
	}
	if onlyA+onlyB == 0 {
		return 0, 0, 1
	}
	d := distuv.Binomial{N: float64(onlyA + onlyB), P: 0.5}
	return onlyA, onlyB, min(1, 2*d.CDF(float64(min(onlyA, onlyB))))
}

// Holm adjusts the p-values of a family of tests (Holm 1979): rejecting where
// the adjusted value is at most α keeps the chance of any false rejection at
// α. NaN entries are left out.
func Holm(p []float64) []float64 {
	order := make([]int, 0, len(p))
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	out := slices.Clone(p)
	last := 0.0
	for k, i := range order {
		last = max(last, min(1, p[i]*float64(len(order)-k)))
		out[i] = last
	}
	return out
}
