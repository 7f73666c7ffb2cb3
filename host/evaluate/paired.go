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
//
// source[k] is the negative that positive k was made from, as an attacked row from a clean
// one: the two are no independent draws, and count as one cluster (Obuchowski
// 1997). Where their scores rise and fall together the variance is smaller than DeLong's. nil:
// all are independent.
func DeLong(negA, posA, negB, posB []float64, source []int) (difference, p float64) {
	if len(negA) != len(negB) || len(posA) != len(posB) {
		panic("evaluate: paired test of unequal samples")
	}
	all := make([]bool, len(posA))
	for i := range all {
		all[i] = true
	}
	return DeLongTrials([]Trial{{negA, posA, all, source}}, []Trial{{negB, posB, all, source}})
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
