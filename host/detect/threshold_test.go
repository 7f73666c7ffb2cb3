package detect

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func ptr(v float64) *float64 { return &v }

func TestPercentileIsNumpys(t *testing.T) {
	x := []float64{1, 2, 4, 8, 16}
	// numpy.percentile([1, 2, 4, 8, 16], q)
	for _, c := range []struct{ q, want float64 }{{0, 1}, {10, 1.4}, {50, 4}, {80, 9.6}, {95, 14.4}, {100, 16}} {
		if got := Percentile(x, c.q); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("Percentile(%g) = %g, want %g", c.q, got, c.want)
		}
	}
	if got := Percentile([]float64{3}, 95); got != 3 {
		t.Errorf("percentile of one value %g", got)
	}
}

func TestConformalRank(t *testing.T) {
	for _, c := range []struct {
		n     int
		alpha float64
		want  int
	}{
		{19, 0.05, 19}, {99, 0.05, 95}, {5000, 0.05, 4751}, {999, 0.001, 999},
		{99, 0.07, 93}, // 100·0.07 = 7.000000000000001
		{99, 0.29, 71}, // 100·0.29 = 28.999999999999996
	} {
		if got, err := ConformalRank(c.n, c.alpha); err != nil || got != c.want {
			t.Errorf("ConformalRank(%d, %g) = %d, %v; want %d", c.n, c.alpha, got, err, c.want)
		}
	}
	for _, c := range []struct {
		n     int
		alpha float64
		need  string
	}{{18, 0.05, "at least 19 "}, {500, 0.001, "at least 999 "}, {0, 0.5, "at least 1 "}} {
		if _, err := ConformalRank(c.n, c.alpha); err == nil || !strings.Contains(err.Error(), c.need) {
			t.Errorf("ConformalRank(%d, %g): %v, want an error with %q", c.n, c.alpha, err, c.need)
		}
	}
}

func TestPACRank(t *testing.T) {
	// algorithm: n = 5000, α = δ = .05 gives k = 4776 and a mean rate of 4.50 %.
	k, err := PACRank(5000, 0.05, 0.05)
	if err != nil || k != 4776 {
		t.Fatalf("PACRank(5000, .05, .05) = %d, %v; want 4776", k, err)
	}
	if rate := float64(5001-k) / 5001; math.Abs(rate-0.0450) > 5e-5 {
		t.Errorf("mean rate %g, want 0.0450", rate)
	}
	// It exists iff n ≥ ln .05 / ln .95 = 58.4.
	if k, err := PACRank(59, 0.05, 0.05); err != nil || k != 59 {
		t.Errorf("PACRank(59) = %d, %v; want 59", k, err)
	}
	if _, err := PACRank(58, 0.05, 0.05); err == nil || !strings.Contains(err.Error(), "at least 59 ") {
		t.Errorf("PACRank(58): %v, want an error naming 59", err)
	}
	// Smallest: one rank less no longer holds.
	for _, n := range []int{60, 100, 313, 1000} {
		k, err := PACRank(n, 0.1, 0.05)
		if err != nil {
			t.Fatal(err)
		}
		holds := func(k int) bool {
			return distuv.Beta{Alpha: float64(n + 1 - k), Beta: float64(k)}.CDF(0.1) >= 0.95
		}
		if !holds(k) || k > 1 && holds(k-1) {
			t.Errorf("n = %d: k = %d is not the smallest", n, k)
		}
	}
}

// Flagging above the conformal threshold is the same as p ≤ α, ties included.
func TestFlagIffPValueAtMostAlpha(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for trial := range 300 {
		n := 20 + r.IntN(200)
		cal := make([]float64, n)
		for i := range cal {
			cal[i] = r.NormFloat64()
			if trial%2 == 0 {
				cal[i] = math.Round(3 * cal[i]) // many ties
			}
		}
		slices.Sort(cal)
		alpha := 0.05 + 0.4*r.Float64()
		if trial%3 == 0 {
			alpha = float64(1+r.IntN(10)) / float64(n+1)
		}
		th, err := NewThreshold(Rule{FPR: ptr(alpha)}, cal)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			s := r.NormFloat64() * 2
			if trial%2 == 0 {
				s = math.Round(3 * s)
			}
			flag, p := s > th.Value, PValue(cal, s)
			if small := p*float64(n+1) <= alpha*float64(n+1)+rounding; flag != small {
				t.Fatalf("n %d, alpha %g, score %g: flag %v, p %g", n, alpha, s, flag, p)
			}
		}
	}
}

// Over 2,000 simulated calibration sets of uniform scores, where a threshold
// t has a false-positive rate of exactly 1 − t, neither guarantee is broken
// more often than chance allows (one-sided binomial test at 1 %).
func TestCoverage(t *testing.T) {
	const draws, alpha, delta = 2000, 0.05, 0.1
	r := rand.New(rand.NewPCG(20, 26))
	critical := func(p float64) int {
		b := distuv.Binomial{N: draws, P: p}
		k := 0
		for b.Survival(float64(k)) > 0.01 {
			k++
		}
		return k
	}
	for _, n := range []int{59, 150, 400} {
		flagged, broken := 0, 0
		cal := make([]float64, n)
		for range draws {
			for i := range cal {
				cal[i] = r.Float64()
			}
			slices.Sort(cal)
			marginal, err := NewThreshold(Rule{FPR: ptr(alpha)}, cal)
			if err != nil {
				t.Fatal(err)
			}
			pac, err := NewThreshold(Rule{FPR: ptr(alpha), Confidence: ptr(1 - delta)}, cal)
			if err != nil {
				t.Fatal(err)
			}
			if r.Float64() > marginal.Value {
				flagged++
			}
			if 1-pac.Value > alpha {
				broken++
			}
		}
		if limit := critical(alpha); flagged > limit {
			t.Errorf("n = %d: %d of %d clean scores flagged, more than %d", n, flagged, draws, limit)
		}
		if limit := critical(delta); broken > limit {
			t.Errorf("n = %d: %d of %d thresholds exceed the rate, more than %d", n, broken, draws, limit)
		}
	}
}

func TestNewThresholdErrors(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		want string
	}{
		"none":       {Rule{}, "exactly one"},
		"two":        {Rule{FPR: ptr(.05), Value: ptr(1)}, "exactly one"},
		"confidence": {Rule{Value: ptr(1), Confidence: ptr(.9)}, "exactly one"},
		"no data":    {Rule{Percentile: ptr(95)}, "need calibration data"},
		"nan":        {Rule{Value: ptr(math.NaN())}, "not a number"},
	} {
		if _, err := NewThreshold(c.rule, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if th, err := NewThreshold(Rule{Value: ptr(0.5)}, nil); err != nil || th.Value != 0.5 || th.N != 0 {
		t.Errorf("value: %+v, %v", th, err)
	}
}
