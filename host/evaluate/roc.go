package evaluate

import (
	"cmp"
	"math"
	"slices"
)

// Rates are the false-positive rates at which true-positive rates are given.
var Rates = [3]float64{0.001, 0.01, 0.05}

// Figures say how well scores tell positives (attacks) from negatives (clean
// rows); higher scores are stranger. NaN without positives or negatives.
type Figures struct {
	AUC   float64    // area under the ROC curve; ties count half
	PRAUC float64    // average precision
	TPR   [3]float64 // at Rates: the largest share of positives above a threshold that at most that share of negatives exceeds
	FPR95 float64    // share of negatives above the largest threshold that 95 % of positives exceed
}

// Judge computes the figures of two samples of scores.
func Judge(neg, pos []float64) Figures {
	s := newSweep(neg, pos)
	return s.figures(nil)
}

// sweep holds both samples in descending order, equal scores in one group.
type sweep struct {
	item  []int // sorted position -> index: < n a negative, else n + index of a positive
	end   []int // one past the last position of each group
	score []float64
	n, p  int
}

func newSweep(neg, pos []float64) *sweep {
	s := &sweep{n: len(neg), p: len(pos)}
	all := slices.Concat(neg, pos)
	s.item = make([]int, len(all))
	for i := range s.item {
		s.item[i] = i
	}
	slices.SortFunc(s.item, func(a, b int) int {
		if c := cmp.Compare(all[b], all[a]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	for i, it := range s.item {
		if i+1 == len(s.item) || all[s.item[i+1]] != all[it] {
			s.end = append(s.end, i+1)
			s.score = append(s.score, all[it])
		}
	}
	return s
}

// figures counts item i weight[i] times (nil: once each): weights are a
// bootstrap resample.
func (s *sweep) figures(weight []int32) Figures {
	f := Figures{AUC: math.NaN(), PRAUC: math.NaN(), TPR: [3]float64{math.NaN(), math.NaN(), math.NaN()}, FPR95: math.NaN()}
	if s.n == 0 || s.p == 0 {
		return f
	}
	n, p := float64(s.n), float64(s.p)
	if weight != nil {
		n, p = 0, 0
		for i, w := range weight {
			if i < s.n {
				n += float64(w)
			} else {
				p += float64(w)
			}
		}
		if n == 0 || p == 0 {
			return f
		}
	}
	var fp, tp, area, precision float64
	f.TPR = [3]float64{}
	at := 0
	for _, end := range s.end {
		var dn, dp float64
		for ; at < end; at++ {
			w := 1.
			if weight != nil {
				w = float64(weight[s.item[at]])
			}
			if s.item[at] < s.n {
				dn += w
			} else {
				dp += w
			}
		}
		area += dn * (tp + dp/2)
		fp, tp = fp+dn, tp+dp
		if dp > 0 {
			precision += dp / p * tp / (tp + fp)
		}
		for k, r := range Rates {
			if fp <= r*n+1e-9 {
				f.TPR[k] = tp / p
			}
		}
		if math.IsNaN(f.FPR95) && tp >= 0.95*p-1e-9 {
			f.FPR95 = fp / n
		}
	}
	f.AUC, f.PRAUC = area/(n*p), precision
	return f
}

// Point is one point of a ROC curve: the rates of scores above Threshold.
type Point struct{ FPR, TPR, Threshold float64 }

// ROC is the curve from (0, 0) to (1, 1), a point for each distinct score.
func ROC(neg, pos []float64) []Point {
	s := newSweep(neg, pos)
	if s.n == 0 || s.p == 0 {
		return nil
	}
	out := []Point{{Threshold: math.Inf(1)}}
	var fp, tp float64
	at := 0
	for g, end := range s.end {
		for ; at < end; at++ {
			if s.item[at] < s.n {
				fp++
			} else {
				tp++
			}
		}
		out = append(out, Point{fp / float64(s.n), tp / float64(s.p), s.score[g]})
	}
	return out
}
