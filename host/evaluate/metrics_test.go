package evaluate

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %.8g, want %.8g", what, got, want)
	}
}

// Values by hand: of 4·3 pairs 9 are in order and 1 is tied.
func TestJudge(t *testing.T) {
	neg, pos := []float64{1, 2, 3, 4}, []float64{5, 3, 2.5}
	f := Judge(neg, pos)
	near(t, "AUC", f.AUC, (4+2.5+2)/12, 1e-12)
	// Precision after each positive: 1/1, (1+1)/(2+2), 3/5.
	near(t, "PR-AUC", f.PRAUC, (1+.5+.6)/3, 1e-12)
	near(t, "TPR at 5 %", f.TPR[2], 1./3, 1e-12)
	near(t, "FPR at 95 % TPR", f.FPR95, .5, 1e-12)
	if f := Judge(neg, nil); !math.IsNaN(f.AUC) {
		t.Errorf("AUC without positives = %g, want NaN", f.AUC)
	}
}

func TestTPRAtFPRKeepsTheRate(t *testing.T) {
	neg := make([]float64, 1000)
	for i := range neg {
		neg[i] = float64(i)
	}
	// Ten of 1,000 negatives may be above: the threshold is 989.
	f := Judge(neg, []float64{989, 989.5, 999.5, 0})
	near(t, "TPR at 1 %", f.TPR[1], .5, 1e-12)
	near(t, "TPR at 0.1 %", f.TPR[0], .25, 1e-12)
}

// scipy.stats.binomtest(k, n).proportion_ci(method="exact").
func TestClopperPearson(t *testing.T) {
	for _, c := range []struct {
		k, n   int
		lo, hi float64
	}{{0, 10, 0, 0.30849710}, {5, 10, 0.18708603, 0.81291397}, {10, 10, 0.69150290, 1}, {50, 1000, 0.03733539, 0.06539049}} {
		i := ClopperPearson(c.k, c.n)
		near(t, "lo", i.Lo, c.lo, 1e-6)
		near(t, "hi", i.Hi, c.hi, 1e-6)
	}
}

// The bootstrap's interval of AUC has about the width of Hanley and McNeil's
// standard error, and holds the true value of 200 simulated samples in about
// 95 % of them.
func TestBootstrapCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	truth := .5 * math.Erfc(-1/math.Sqrt2/math.Sqrt2) // P(N(1,1) > N(0,1)) = Φ(1/√2)
	hit := 0
	for trial := range 200 {
		neg, pos := make([]float64, 80), make([]float64, 60)
		for i := range neg {
			neg[i] = r.NormFloat64()
		}
		for i := range pos {
			pos[i] = 1 + r.NormFloat64()
		}
		b := Bootstrap(neg, pos, nil, 200, uint64(trial))
		if b.AUC.Lo <= truth && truth <= b.AUC.Hi {
			hit++
		}
	}
	if hit < 180 || hit > 199 { // 95 % ± 3 standard errors, and the percentile method's bias
		t.Errorf("%d of 200 intervals hold the true AUC, want about 190", hit)
	}
}

// McNemar's exact p-value of 1 against 8 discordant pairs is 2·(1+9)/2⁹.
func TestMcNemar(t *testing.T) {
	var a, b []bool
	for i := range 20 {
		a, b = append(a, i != 0), append(b, i == 0 || i > 8)
	}
	onlyA, onlyB, p := McNemar(a, b)
	if onlyA != 8 || onlyB != 1 {
		t.Errorf("discordant %d, %d; want 8, 1", onlyA, onlyB)
	}
	near(t, "p", p, 2*10./512, 1e-12)
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{.01, .04, .03, math.NaN()})
	for i, want := range []float64{.03, .06, .06} {
		near(t, "adjusted p", got[i], want, 1e-12)
	}
}

// Under the null the p-value is uniform; a real difference is found.
func TestDeLong(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	sample := func(shift float64, n int) (a, b []float64) {
		for range n {
			common := r.NormFloat64()
			a = append(a, common+shift+.5*r.NormFloat64())
			b = append(b, common+shift+.5*r.NormFloat64())
		}
		return a, b
	}
	low := 0
	for range 400 {
		na, nb := sample(0, 60)
		pa, pb := sample(1, 60)
		if _, p := DeLong(na, pa, nb, pb, nil); p <= .05 {
			low++
		}
	}
	if low < 7 || low > 36 { // binomial(400, .05): 20 ± 3 standard errors
		t.Errorf("%d of 400 null p-values are at most 0.05, want about 20", low)
	}
	na, nb := sample(0, 300)
	pa, _ := sample(1.5, 300)
	_, pb := sample(.5, 300)
	d, p := DeLong(na, pa, nb, pb, nil)
	near(t, "difference", d, Judge(na, pa).AUC-Judge(nb, pb).AUC, 1e-12)
	if p > 1e-4 {
		t.Errorf("p = %g for a large difference", p)
	}
}
