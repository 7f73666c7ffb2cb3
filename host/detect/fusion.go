package detect

import (
	"fmt"
	"math"
	"slices"
)

// FusionRule names a way to combine p-values. They are dependent, so none of
// the combinations is a p-value itself: the fused statistic is calibrated on
// rows of its own.
type FusionRule string

// The rules, each a statistic that grows with strangeness.
const (
	NoFusion FusionRule = ""
	Fisher   FusionRule = "fisher"  // −2·Σ ln p
	Cauchy   FusionRule = "cauchy"  // −ln of the p-value of the mean of cot(π·p) (Liu and Xie 2020)
	Tippett  FusionRule = "tippett" // −ln of the smallest p: strange by any one score
)

// Fusion makes one score of several. Each score's distribution on clean
// reference rows turns it into a tail probability p.
type Fusion struct {
	Rule FusionRule
	// Reference holds each score's values on the reference rows, ascending,
	// rounded to float32.
	Reference [][]float64
	tails     []tail
}

// minReference is the fewest reference rows that make a distribution.
const minReference = 10

// NewFusion makes the fusion from each score's values on the reference rows:
// reference[j] are score j's, in any order. It keeps rounded, sorted copies.
func NewFusion(rule FusionRule, reference [][]float64) (*Fusion, error) {
	switch rule {
	case Fisher, Cauchy, Tippett:
	default:
		return nil, fmt.Errorf("unknown fusion %q; known: fisher, cauchy, tippett", string(rule))
	}
	f := &Fusion{Rule: rule}
	for _, r := range reference {
		if len(r) < minReference {
			return nil, fmt.Errorf("fusion %s needs at least %d calibration rows, got %d", rule, 2*minReference, 2*len(r))
		}
		sorted := make([]float64, len(r))
		for i, v := range r {
			sorted[i] = float64(float32(v))
		}
		slices.Sort(sorted)
		f.Reference = append(f.Reference, sorted)
		f.tails = append(f.tails, newTail(sorted))
	}
	return f, nil
}

// Fuse writes the statistic of each instance; scores[j][i] is score j of
// instance i.
func (f *Fusion) Fuse(dst []float64, scores [][]float64) {
	logp := make([]float64, len(scores))
	for i := range dst {
		for j, t := range f.tails {
			logp[j], _ = t.logp(scores[j][i])
		}
		dst[i] = f.statistic(logp)
	}
}

// Slopes writes ∂statistic/∂score: dst[j][i] for score j of instance i.
func (f *Fusion) Slopes(dst, scores [][]float64) {
	n := len(f.tails)
	logp, slope, d := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range scores[0] {
		for j, t := range f.tails {
			logp[j], slope[j] = t.logp(scores[j][i])
		}
		f.gradient(d, logp)
		for j := range d {
			dst[j][i] = d[j] * slope[j]
		}
	}
}

func (f *Fusion) statistic(logp []float64) float64 {
	switch f.Rule {
	case Fisher:
		sum := 0.0
		for _, l := range logp {
			sum -= 2 * l
		}
		return sum
	case Tippett:
		return -slices.Min(logp)
	}
	return math.Log(math.Pi) - math.Log(math.Atan2(1, meanCot(logp)))
}

// gradient is ∂statistic/∂ln p.
func (f *Fusion) gradient(d, logp []float64) {
	switch f.Rule {
	case Fisher:
		for j := range d {
			d[j] = -2
		}
		return
	case Tippett:
		clear(d)
		d[slices.Index(logp, slices.Min(logp))] = -1
		return
	}
	// statistic = ln π − ln θ, θ = acot C, C = mean cot(πp).
	c := meanCot(logp)
	outer := 1 / c // where θ = 1/C to the last bit
	if math.Abs(c) < 1e9 {
		outer = 1 / (math.Atan2(1, c) * (1 + c*c))
	}
	for j, l := range logp {
		p := math.Exp(l)
		sin := math.Sin(math.Pi * p)
		d[j] = -outer * math.Pi * (p / sin) / sin / float64(len(logp))
	}
}

func meanCot(logp []float64) float64 {
	sum := 0.0
	for _, l := range logp {
		sin, cos := math.Sincos(math.Pi * math.Exp(l))
		sum += cos / sin
	}
	return sum / float64(len(logp))
}

// tail is the logarithm of a score's upper tail probability: at the reference
// values by mid-ranks, linear between them, and beyond the largest falling as
// an exponential whose scale is the mean excess of the top tenth, so that
// strange inputs are still ranked among themselves.
type tail struct {
	at, log []float64 // distinct reference values, ascending, and ln p there
	scale   float64
}

// minLogP keeps p a normal number.
const minLogP = -700

func newTail(sorted []float64) tail {
	n := len(sorted)
	var t tail
	for i := 0; i < n; {
		j := i
		for j < n && sorted[j] == sorted[i] {
			j++
		}
		rank := float64(i+j-1) / 2 // the middle of i … j−1
		t.at = append(t.at, sorted[i])
		t.log = append(t.log, math.Log((float64(n)-rank)/float64(n+1)))
		i = j
	}
	from := n - 1 - max(n/10, 1)
	for _, v := range sorted[from+1:] {
		t.scale += v - sorted[from]
	}
	t.scale /= float64(n - 1 - from)
	// Constant scores have no scale of their own.
	t.scale = max(t.scale, 1e-6*math.Abs(sorted[n-1]), 1e-12)
	return t
}

// logp is ln p at s, and its slope.
func (t tail) logp(s float64) (value, slope float64) {
	last := len(t.at) - 1
	switch {
	case s <= t.at[0]:
		return t.log[0], 0
	case s >= t.at[last]:
		v := t.log[last] - (s-t.at[last])/t.scale
		if v < minLogP {
			return minLogP, 0
		}
		return v, -1 / t.scale
	}
	i, found := slices.BinarySearch(t.at, s)
	if !found {
		i--
	}
	slope = (t.log[i+1] - t.log[i]) / (t.at[i+1] - t.at[i])
	return t.log[i] + (s-t.at[i])*slope, slope
}
