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
	d1, p1 := DeLong(a[0].Clean, a[0].positives(), b[0].Clean, b[0].positives())
	d, p := DeLongTrials(a, b)
	if d != d1 || p != p1 {
		t.Errorf("one trial: %g, %g; DeLong says %g, %g", d, p, d1, p1)
	}
	d, p = DeLongTrials([]Trial{a[0], a[0], a[0]}, []Trial{b[0], b[0], b[0]})
	if math.Abs(d-d1) > 1e-12 || math.Abs(p-p1) > 0.02 {
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
