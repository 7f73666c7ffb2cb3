package detect

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var rules = []FusionRule{Fisher, Cauchy, Tippett}

// dependent draws n rows of two correlated clean scores.
func dependent(r *rand.Rand, n int) [][]float64 {
	out := [][]float64{make([]float64, n), make([]float64, n)}
	for i := range n {
		a := r.NormFloat64()
		out[0][i] = math.Exp(a)
		out[1][i] = 10 * (0.9*a + 0.4*r.NormFloat64())
	}
	return out
}

func TestFusionKnownValues(t *testing.T) {
	// Reference 1 … 99: p(s) = (100 − s)/100 at whole s.
	ref := make([]float64, 99)
	for i := range ref {
		ref[i] = float64(i + 1)
	}
	scores := [][]float64{{90}, {50}} // p = .1 and .5
	cot := (math.Cos(.1*math.Pi)/math.Sin(.1*math.Pi) + 0) / 2
	for rule, want := range map[FusionRule]float64{
		Fisher:  -2 * (math.Log(.1) + math.Log(.5)),
		Tippett: -math.Log(.1),
		Cauchy:  -math.Log(0.5 - math.Atan(cot)/math.Pi),
	} {
		f, err := NewFusion(rule, [][]float64{ref, ref})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, 1)
		f.Fuse(got, scores)
		if math.Abs(got[0]-want) > 1e-12 {
			t.Errorf("%s = %.15g, want %.15g", rule, got[0], want)
		}
	}
}

// The statistic never falls as a score grows, far beyond the reference too,
// and the slopes are its derivatives.
func TestFusionIsMonotoneWithExactSlopes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	ref := dependent(r, 200)
	for _, rule := range rules {
		f, err := NewFusion(rule, ref)
		if err != nil {
			t.Fatal(err)
		}
		at := func(a, b float64) float64 {
			dst := make([]float64, 1)
			f.Fuse(dst, [][]float64{{a}, {b}})
			return dst[0]
		}
		last := math.Inf(-1)
		for s := -1.0; s < 60; s += 0.37 {
			v := at(s, 3)
			if v < last-1e-9 || math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s at %g: %g after %g", rule, s, v, last)
			}
			last = v
		}
		if !(at(40, 3) > at(30, 3)) {
			t.Errorf("%s does not rank beyond the reference", rule)
		}
		slopes := [][]float64{{0}, {0}}
		for range 40 {
			a, b := math.Exp(r.NormFloat64()), 15*r.NormFloat64()
			f.Slopes(slopes, [][]float64{{a}, {b}})
			const h = 1e-7
			da, db := (at(a+h, b)-at(a-h, b))/(2*h), (at(a, b+h)-at(a, b-h))/(2*h)
			if math.Abs(da-slopes[0][0]) > 1e-4*(1+math.Abs(da)) || math.Abs(db-slopes[1][0]) > 1e-4*(1+math.Abs(db)) {
				t.Errorf("%s at (%g, %g): slopes %g, %g, want %g, %g", rule, a, b, slopes[0][0], slopes[1][0], da, db)
			}
		}
	}
}

// Scores that depend on each other keep the false-positive rate, because the
// fused statistic is calibrated on rows of its own.
func TestFusionKeepsTheRate(t *testing.T) {
	const alpha = 0.1
	r := rand.New(rand.NewPCG(5, 6))
	for _, rule := range rules {
		flagged, n := 0, 0
		for range 200 {
			f, err := NewFusion(rule, dependent(r, 60))
			if err != nil {
				t.Fatal(err)
			}
			cal, clean := make([]float64, 60), make([]float64, 10)
			f.Fuse(cal, dependent(r, 60))
			slices.Sort(cal)
			th, err := NewThreshold(Rule{FPR: ptr(alpha)}, cal)
			if err != nil {
				t.Fatal(err)
			}
			f.Fuse(clean, dependent(r, 10))
			for _, s := range clean {
				n++
				if s > th.Value {
					flagged++
				}
			}
		}
		// Expected at most .1; four deviations of 2,000 correlated draws.
		if rate := float64(flagged) / float64(n); rate > 0.13 || rate < 0.07 {
			t.Errorf("%s: rate %g, want about %g", rule, rate, alpha)
		}
	}
}

func TestFusionErrors(t *testing.T) {
	if _, err := NewFusion("sum", nil); err == nil || !strings.Contains(err.Error(), "fisher, cauchy, tippett") {
		t.Error(err)
	}
	if _, err := NewFusion(Fisher, [][]float64{{1, 2}}); err == nil || !strings.Contains(err.Error(), "at least 20 calibration rows") {
		t.Error(err)
	}
	f, err := NewFusion(Cauchy, [][]float64{make([]float64, 20)})
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]float64, 2)
	f.Fuse(dst, [][]float64{{0, 1}})
	if !(dst[1] > dst[0]) {
		t.Errorf("constant reference: %v", dst)
	}
}
