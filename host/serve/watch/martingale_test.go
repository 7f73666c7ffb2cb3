package watch

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func normal(r *rand.Rand, n int, mean float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = r.NormFloat64() + mean
	}
	return out
}

// TestBetsAreDensities: each has mean 1 over uniform p-values, so that the capital is
// a martingale, and is never 0, so that none is lost for good.
func TestBetsAreDensities(t *testing.T) {
	const n = 400000
	for k, b := range bets {
		sum := 0.0
		for i := range n {
			v := b((float64(i) + 0.5) / n)
			if v <= 0 {
				t.Errorf("bet %d pays %v", k, v)
			}
			sum += v
		}
		if math.Abs(sum/n-1) > 1e-4 {
			t.Errorf("bet %d has mean %v", k, sum/n)
		}
	}
}

// TestFalseAlarms: of 2,000 streams that are exchangeable with their calibration
// scores, the share that ever reaches 1/α is at most α, up to three deviations of a
// share of 2,000. Streams are ten times as long as the calibration set is large:
// p-values against that set alone would give them away.
func TestFalseAlarms(t *testing.T) {
	streams, rows, calibration := 2000, 2000, 200
	if testing.Short() {
		streams = 300
	}
	reached := map[float64]int{}
	alphas := []float64{0.1, 0.01}
	for s := range streams {
		r := rand.New(rand.NewPCG(uint64(s), 1))
		m := NewMartingale(normal(r, calibration, 0), uint64(s))
		m.Add(normal(r, rows, 0)...)
		peak, n := m.Peak()
		if n != int64(rows) {
			t.Fatalf("%d rows counted", n)
		}
		for _, a := range alphas {
			if peak >= -math.Log10(a) {
				reached[a]++
			}
		}
	}
	for _, a := range alphas {
		share := float64(reached[a]) / float64(streams)
		if most := a + Slack + 3*math.Sqrt(a*(1-a)/float64(streams)); share > most {
			t.Errorf("%.4f of the streams reach 1/%g, want at most %.4f", share, a, most)
		}
		t.Logf("α %g: %.4f of %d streams", a, share, streams)
	}
}

// delay is after how many rows the capital reaches 1000, or most.
func delay(seed uint64, most int, draw func(r *rand.Rand) float64) int {
	r := rand.New(rand.NewPCG(seed, 2))
	m := NewMartingale(normal(r, 1000, 0), seed)
	for i := range most {
		m.Add(draw(r))
		if m.Log10() >= 3 {
			return i + 1
		}
	}
	return most
}

// TestDelay: with 1,000 calibration scores, attacked rows, whose scores are above nearly all clean ones, and a shift
// of all scores are noticed after so many rows, in the median of 21 streams.
func TestDelay(t *testing.T) {
	for _, c := range []struct {
		name   string
		within int
		draw   func(r *rand.Rand) float64
	}{
		{"20 % attacked", 40, attacked(0.2)},
		{"5 % attacked", 500, attacked(0.05)},
		{"2 % attacked", 5000, attacked(0.02)},
		{"shift of 0.5", 250, func(r *rand.Rand) float64 { return r.NormFloat64() + 0.5 }},
		{"lower scores", 250, func(r *rand.Rand) float64 { return r.NormFloat64() - 0.5 }},
		{"+Inf", 10, func(*rand.Rand) float64 { return math.Inf(1) }},
	} {
		var ends []int
		for s := range 21 {
			ends = append(ends, delay(uint64(s), 4*c.within, c.draw))
		}
		median := medianOf(ends)
		if median > c.within {
			t.Errorf("%s: noticed after %d rows in the median, want %d", c.name, median, c.within)
		}
		t.Logf("%s: median %d", c.name, median)
	}
}

func attacked(share float64) func(r *rand.Rand) float64 {
	return func(r *rand.Rand) float64 {
		if r.Float64() < share {
			return 4 + r.Float64()
		}
		return r.NormFloat64()
	}
}

// TestMartingaleRepeats: the same seed and stream, the same bits, also after Reset;
// NaN is no score.
func TestMartingaleRepeats(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	cal, x := normal(r, 100, 0), normal(r, 300, 1)
	a, b := NewMartingale(cal, 7), NewMartingale(cal, 7)
	a.Add(x...)
	first := a.Log10()
	for _, v := range x {
		b.Add(v, math.NaN())
	}
	a.Reset()
	if math.Abs(a.Log10()+math.Log10(2)) > 1e-12 {
		t.Errorf("after Reset the capital is 10^%v", a.Log10())
	}
	a.Add(x...)
	if first != b.Log10() || first != a.Log10() {
		t.Errorf("%v, %v and %v", first, b.Log10(), a.Log10())
	}
	if none := NewMartingale(nil, 1); none.Log10() > 1e-12 {
		t.Errorf("without calibration scores it starts at 10^%v", none.Log10())
	}
}

func medianOf(x []int) int {
	slices.Sort(x)
	return x[len(x)/2]
}
