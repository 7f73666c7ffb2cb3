package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// simulated are trials on the same images: scores share a part by image, so
// that images are clusters.
func simulated(r *rand.Rand, seeds, n, m int, shift float64) []Trial {
	clean, hit := make([]float64, n), make([]float64, m)
	for i := range clean {
		clean[i] = r.NormFloat64()
	}
	for i := range hit {
		hit[i] = r.NormFloat64()
	}
	out := make([]Trial, seeds)
	for s := range out {
		t := Trial{Clean: make([]float64, n), Scores: make([]float64, m), Success: make([]bool, m)}
		for i := range t.Clean {
			t.Clean[i] = clean[i] + 0.5*r.NormFloat64()
		}
		for i := range t.Scores {
			t.Scores[i], t.Success[i] = shift+hit[i]+0.5*r.NormFloat64(), r.IntN(10) < 8
		}
		out[s] = t
	}
	return out
}

// alike copies a trial's successes to another detector's.
func alike(a, b []Trial) {
	for i := range a {
		b[i].Success = a[i].Success
	}
}

// With one trial the tests over trials are those of one; repeating a trial
// adds nothing, where pooling would add certainty.
func TestTrialsOfOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a, b := simulated(r, 1, 300, 200, 1.2), simulated(r, 1, 300, 200, 1)
	alike(a, b)
	d1, p1 := DeLong(a[0].Clean, a[0].positives(), b[0].Clean, b[0].positives(), nil)
	d, p := DeLongTrials(a, b)
	if d != d1 || math.Abs(p-p1) > 1e-12 {
		t.Errorf("one trial: %g, %g; DeLong says %g, %g", d, p, d1, p1)
	}
	d, p = DeLongTrials([]Trial{a[0], a[0], a[0]}, []Trial{b[0], b[0], b[0]})
	if math.Abs(d-d1) > 1e-12 || math.Abs(p-p1) > 1e-12 {
		t.Errorf("a trial thrice: %g, %g; once %g, %g", d, p, d1, p1)
	}
	x, y := [][]bool{{true, true, false, true}}, [][]bool{{false, true, true, false}}
	n, m, p := McNemarTrials(x, y)
	if k, l, q := McNemar(x[0], y[0]); n != k || m != l || p != q {
		t.Errorf("McNemar of one trial: %d, %d, %g; want %d, %d, %g", n, m, p, k, l, q)
	}
	if f, g := MeanFigures(a), Judge(a[0].Clean, a[0].positives()); f != g {
		t.Errorf("mean of one: %v, want %v", f, g)
	}
}

// Under the null hypothesis a test at 5 % rejects in about 5 % of draws,
// although an image's trials are alike.
func TestTrialsLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const draws = 400
	delong, mcnemar := 0, 0
	for range draws {
		a, b := simulated(r, 3, 120, 100, 1), simulated(r, 3, 120, 100, 1)
		alike(a, b)
		if _, p := DeLongTrials(a, b); p < 0.05 {
			delong++
		}
		caught := func(ts []Trial) (out [][]bool) {
			for _, t := range ts {
				c := make([]bool, len(t.Scores))
				for k, s := range t.Scores {
					c[k] = t.Success[k] && s > 1
				}
				out = append(out, c)
			}
			return out
		}
		if _, _, p := McNemarTrials(caught(a), caught(b)); p < 0.05 {
			mcnemar++
		}
	}
	for name, k := range map[string]int{"DeLong": delong, "McNemar": mcnemar} {
		if k < draws/100 || k > draws/10 {
			t.Errorf("%s rejects %d of %d at 5 %%", name, k, draws)
		}
	}
}

// Resamples vary about the mean figure, and two detectors get the same draws.
func TestResampleTrials(t *testing.T) {
	a := simulated(rand.New(rand.NewPCG(5, 6)), 2, 200, 150, 1.5)
	first, again := ResampleTrials(a, 50, 9), ResampleTrials(a, 50, 9)
	if !slices.Equal(first, again) {
		t.Error("the same seed draws something else")
	}
	var auc []float64
	for _, f := range first {
		auc = append(auc, f.AUC)
	}
	ci, f := Percentiles(auc), MeanFigures(a)
	if ci.Lo > f.AUC || ci.Hi < f.AUC || ci.Hi-ci.Lo > 0.2 || ci.Hi == ci.Lo {
		t.Errorf("AUC %.3f, interval [%.3f, %.3f]", f.AUC, ci.Lo, ci.Hi)
	}
	if got := Percentiles([]float64{math.NaN(), 2, 2}); got != (Interval{2, 2}) {
		t.Errorf("undefined values count: %v", got)
	}
}

// paired are trials whose attacked rows are made from the first m clean ones: scores of an
// image, clean and attacked, correlate by rho/(1 + ¼) in each detector.
func paired(r *rand.Rand, seeds, n, m int, rho float64) []Trial {
	image := make([]float64, n)
	for i := range image {
		image[i] = r.NormFloat64()
	}
	own := make([]float64, m)
	for k := range own {
		own[k] = 1 + rho*image[k] + math.Sqrt(1-rho*rho)*r.NormFloat64()
	}
	var out []Trial
	for range seeds {
		t := Trial{Success: make([]bool, m)}
		for _, v := range image {
			t.Clean = append(t.Clean, v+0.5*r.NormFloat64())
		}
		for k, v := range own {
			t.Scores, t.Source = append(t.Scores, v+0.5*r.NormFloat64()), append(t.Source, k)
			t.Success[k] = r.IntN(10) < 9
		}
		out = append(out, t)
	}
	return out
}

// apart are the trials as if the attacked rows were of other images than the clean ones.
func apart(in []Trial) []Trial {
	out := slices.Clone(in)
	for i := range out {
		out[i].Source = nil
	}
	return out
}

// With attacked rows made from the clean ones the test at 5 % rejects in 5 % of draws under the null
// hypothesis, whether an image's two scores rise together or against each other; with the
// two taken for independent it rejects too seldom or too often.
func TestPairedLevel(t *testing.T) {
	const draws = 800
	low, high := 18, 62 // binomial(800, .05): 40 ± 3.6 standard errors
	for name, c := range map[string]struct {
		seeds, n, m int
		rho         float64
	}{
		"together":          {1, 120, 120, .9},
		"against":           {1, 120, 120, -.9},
		"together, 3 seeds": {3, 120, 120, .9},
		"against, a half":   {2, 160, 80, -.9},
		"independent":       {1, 120, 120, 0},
		"together, a fifth": {1, 300, 60, .9},
	} {
		r := rand.New(rand.NewPCG(7, 8))
		linked, loose := 0, 0
		for range draws {
			a, b := paired(r, c.seeds, c.n, c.m, c.rho), paired(r, c.seeds, c.n, c.m, c.rho)
			alike(a, b)
			if _, p := DeLongTrials(a, b); p < 0.05 {
				linked++
			}
			if _, p := DeLongTrials(apart(a), apart(b)); p < 0.05 {
				loose++
			}
		}
		t.Logf("%s: rejects %d of %d, with the two taken for independent %d", name, linked, draws, loose)
		if linked < low || linked > high {
			t.Errorf("%s: rejects %d of %d at 5 %%", name, linked, draws)
		}
		if c.n == c.m && (c.rho > 0 && loose >= low || c.rho < 0 && loose <= high) {
			t.Errorf("%s: taken for independent it rejects %d of %d: this test cannot tell", name, loose, draws)
		}
	}
}

// So it is with the bootstrap: its interval of AUC holds the true value in 95 % of draws, where
// one that draws clean and attacked rows apart is too wide or too narrow.
func TestPairedBootstrapCovers(t *testing.T) {
	const draws, resamples = 200, 200
	truth := .5 * math.Erfc(-1/math.Sqrt(2.5)/math.Sqrt2) // P(N(1, 5/4) > N(0, 5/4))
	for _, rho := range []float64{.9, -.9} {
		r := rand.New(rand.NewPCG(9, 10))
		var linked, loose, seeds int
		for draw := range draws {
			x := paired(r, 2, 80, 80, rho)
			for i := range x {
				for k := range x[i].Success {
					x[i].Success[k] = true
				}
			}
			holds := func(i Interval) int {
				if i.Lo <= truth && truth <= i.Hi {
					return 1
				}
				return 0
			}
			linked += holds(Bootstrap(x[0].Clean, x[0].Scores, x[0].Source, resamples, uint64(draw)).AUC)
			loose += holds(Bootstrap(x[0].Clean, x[0].Scores, nil, resamples, uint64(draw)).AUC)
			var auc []float64
			for _, f := range ResampleTrials(x, resamples, uint64(draw)) {
				auc = append(auc, f.AUC)
			}
			seeds += holds(Percentiles(auc))
		}
		t.Logf("ρ %v: %d of %d hold it, over two seeds %d, drawn apart %d", rho, linked, draws, seeds, loose)
		for name, k := range map[string]int{"one seed": linked, "two": seeds} {
			if k < 180 || k > 199 { // 190 ± 3 standard errors, and the percentile method's bias
				t.Errorf("ρ %v, %s: %d of %d intervals hold the true AUC, want about %d", rho, name, k, draws, draws*95/100)
			}
		}
		if rho > 0 && loose <= linked || rho < 0 && loose >= linked {
			t.Errorf("ρ %v: drawn apart %d hold it, drawn together %d: this test cannot tell", rho, loose, linked)
		}
	}
}

// The variance of a single AUC by hand: two clean rows, two attacked ones made from them.
func TestClustered(t *testing.T) {
	pos, neg := []float64{.5, -.25}, []float64{.125, -.5}
	// 2/1·(¼ + 1/16) + 2/1·(1/64 + ¼) + 2·2/1·(½·⅛ + ¼·½)
	const want = 2*(.25+.0625) + 2*(.015625+.25) + 4*(.0625+.125)
	if v := clustered(pos, neg, []bool{true, true}, []int{0, 1}); v != want {
		t.Errorf("variance %g, want %g", v, want)
	}
	// Two attacked rows of one image are one cluster of positives.
	if v := clustered(pos, neg, []bool{true, true}, []int{1, 1}); v != .0625+2*(.015625+.25)-4*.125 {
		t.Errorf("two rows of one image: %g", v)
	}
}
