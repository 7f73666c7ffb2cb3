package evaluate

import (
	"encoding/json"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Interval is a 95 % confidence interval, [lo, hi] in JSON.
type Interval struct{ Lo, Hi float64 }

// MarshalJSON implements json.Marshaler; an undefined interval is null.
func (i Interval) MarshalJSON() ([]byte, error) {
	if math.IsNaN(i.Lo) || math.IsNaN(i.Hi) {
		return []byte("null"), nil
	}
	return json.Marshal([2]float64{i.Lo, i.Hi})
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *Interval) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*i = Interval{math.NaN(), math.NaN()}
		return nil
	}
	var v [2]float64
	err := json.Unmarshal(b, &v)
	*i = Interval{v[0], v[1]}
	return err
}

// ClopperPearson is the exact 95 % interval of a rate of which k of n trials
// were seen.
func ClopperPearson(k, n int) Interval { return clopperPearson(k, n, 0.05) }

func clopperPearson(k, n int, alpha float64) Interval {
	if n == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	i := Interval{0, 1}
	if k > 0 {
		i.Lo = mathext.InvRegIncBeta(float64(k), float64(n-k+1), alpha/2)
	}
	if k < n {
		i.Hi = mathext.InvRegIncBeta(float64(k+1), float64(n-k), 1-alpha/2)
	}
	return i
}

// Intervals are those of Figures.
type Intervals struct {
	AUC, PRAUC, FPR95 Interval
	TPR               [3]Interval
}

// Bootstrap is the stratified percentile bootstrap: positives and negatives
// are each resampled with replacement, because a rate at a fixed
// false-positive rate depends on both. source[k] is the negative that positive k was
// made from, and drawn with it, as Draws says; nil: they are independent.
func Bootstrap(neg, pos []float64, source []int, resamples int, seed uint64) Intervals {
	nan := Interval{math.NaN(), math.NaN()}
	out := Intervals{nan, nan, nan, [3]Interval{nan, nan, nan}}
	if len(neg) == 0 || len(pos) == 0 || resamples < 2 {
		return out
	}
	s := newSweep(neg, pos)
	cols := make([][]float64, 6)
	weight := make([]int32, s.n+s.p)
	Draws(s.n, s.p, source, resamples, seed, func(_ int, clean, attacked []int32) {
		copy(weight, clean)
		copy(weight[s.n:], attacked)
		f := s.figures(weight)
		for c, v := range [6]float64{f.AUC, f.PRAUC, f.FPR95, f.TPR[0], f.TPR[1], f.TPR[2]} {
			cols[c] = append(cols[c], v)
		}
	})
	return Intervals{
		percentiles(cols[0]), percentiles(cols[1]), percentiles(cols[2]),
		[3]Interval{percentiles(cols[3]), percentiles(cols[4]), percentiles(cols[5])},
	}
}

// percentiles are the 2.5th and the 97.5th.
func percentiles(v []float64) Interval {
	slices.Sort(v)
	return Interval{quantile(v, 0.025), quantile(v, 0.975)}
}

// quantile interpolates linearly between order statistics of sorted v; NaN if
// there are none.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	h := q * float64(len(v)-1)
	k := int(h)
	if k+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[k] + (h-float64(k))*(v[k+1]-v[k])
}
