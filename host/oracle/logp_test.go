package oracle

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
)

// digits is the precision of the reference in bits.
const digits = 1000

func number(v float64) *big.Float { return new(big.Float).SetPrec(digits).SetFloat64(v) }

// bigExp is e^x for x ≤ 0: the series of e^(x/2^k), squared k times. It is 0
// where no float64 could tell.
func bigExp(x *big.Float) *big.Float {
	if x.Cmp(number(-1e5)) < 0 {
		return number(0)
	}
	const halvings = 12
	small := new(big.Float).SetPrec(digits).SetMantExp(x, -halvings)
	sum, term := number(1), number(1)
	for i := 1; i < 100; i++ {
		term.Mul(term, small)
		term.Quo(term, number(float64(i)))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLog is ln x for x ≥ 1 by Halley's iteration on e^y = x, in the form that
// needs e^−y alone.
func bigLog(x *big.Float) *big.Float {
	f, _ := x.Float64()
	y := number(math.Log(f))
	for range 6 {
		e := bigExp(new(big.Float).Neg(y)) // x·e^−y is 1 at the root
		r := new(big.Float).Mul(x, e)
		up := new(big.Float).Sub(r, number(1))
		down := new(big.Float).Add(r, number(1))
		step := new(big.Float).Quo(up, down)
		y.Add(y, step.Mul(step, number(2)))
	}
	return y
}

// reference is log-softmax in 1000 bits.
func reference(x []float64) []float64 {
	top := x[Argmax(x)]
	sum := number(0)
	for _, v := range x {
		sum.Add(sum, bigExp(new(big.Float).Sub(number(v), number(top))))
	}
	lse := bigLog(sum)
	out := make([]float64, len(x))
	for c, v := range x {
		d := new(big.Float).Sub(number(v), number(top))
		out[c], _ = d.Sub(d, lse).Float64()
	}
	return out
}

// TestLogSoftmax: a few roundings of the numbers that are added, and at the
// largest logit, where a plain ln Σ has none left, a few of the result.
func TestLogSoftmax(t *testing.T) {
	const roundings = 4 * 0x1p-53
	for name, x := range map[string][]float64{
		"one class":      {7},
		"equal":          {2, 2, 2, 2},
		"two":            {math.Log(3), 0}, // ¾ and ¼
		"sure":           {40, 0, 1},       // ln P of the first is −e^−40 − e^−39
		"very sure":      {0, -300, -310},
		"large":          {1e4, 1e4 - 3, -1e4},
		"largest floats": {math.MaxFloat32, -math.MaxFloat32, 0},
		"small":          {1e-20, -1e-20},
		"many":           spread(1000, 5),
		"many large":     spread(1000, 500),
	} {
		got, want := append([]float64(nil), x...), reference(x)
		LogSoftmax(got)
		top := Argmax(x)
		for c, w := range want {
			size := math.Abs(x[c]-x[top]) + math.Abs(want[top])
			if d := math.Abs(got[c] - w); d > roundings*size {
				t.Errorf("%s: class %d is %v, want %v", name, c, got[c], w)
			}
		}
		// the sum of the others has a rounding a term
		if d := math.Abs(got[top] - want[top]); d > 2*roundings*math.Abs(want[top]) {
			t.Errorf("%s: the largest is %v, want %v", name, got[top], want[top])
		}
	}
	x := []float64{math.Log(3), 0}
	LogSoftmax(x)
	if math.Abs(x[0]-math.Log(.75)) > 1e-16 || math.Abs(x[1]-math.Log(.25)) > 4e-16 {
		t.Errorf("log-softmax(ln 3, 0) = %v, want ln ¾, ln ¼", x)
	}
}

// spread are n normal numbers of a deviation.
func spread(n int, deviation float64) []float64 {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	x := make([]float64, n)
	for i := range x {
		x[i] = deviation * r.NormFloat64()
	}
	return x
}

func TestLogProbabilities(t *testing.T) {
	ln := math.Log
	for _, c := range []struct {
		name        string
		kind        sdk.OutputKind
		temperature float64
		out         []float32
		want        []float64
	}{
		{"logits", sdk.Logits, 1, []float32{0, 0}, []float64{ln(.5), ln(.5)}},
		{"large logits", sdk.Logits, 1, []float32{1e30, 0}, []float64{0, -float64(float32(1e30))}},
		{"probabilities as they are", sdk.Probabilities, 1, []float32{.5, .25}, []float64{ln(.5), ln(.25)}},
		{"a probability of zero", sdk.Probabilities, 1, []float32{1, 0}, []float64{0, -30 * math.Ln10}},
		{"one below the floor", sdk.Probabilities, 1, []float32{1, 1e-38}, []float64{0, -30 * math.Ln10}},
		// P^(1/½) ∝ 9, 1 of ¾, ¼
		{"sharp probabilities", sdk.Probabilities, .5, []float32{.75, .25}, []float64{ln(.9), ln(.1)}},
		// √P ∝ 2, 1 of ⅘, ⅕
		{"soft logits", sdk.Logits, 2, []float32{float32(2 * math.Ln2), 0}, []float64{ln(2. / 3), ln(1. / 3)}},
		{"soft zeros", sdk.Probabilities, 2, []float32{1, 0}, []float64{-1e-15, -15 * math.Ln10}},
	} {
		got := make([]float64, len(c.out))
		LogProbabilities(got, c.out, c.kind, c.temperature)
		for i, w := range c.want {
			// float32 logits of ln 2 are right to 1e-7
			if tolerance := 1e-7 * (1 + math.Abs(w)); math.Abs(got[i]-w) > tolerance {
				t.Errorf("%s: class %d is %v, want %v", c.name, i, got[i], w)
			}
		}
	}
	// ln P of the surest class is −e^−40 to all its digits, and −e^−40·(1 − …)
	// of nothing else.
	got := make([]float64, 2)
	LogProbabilities(got, []float32{40, 0}, sdk.Logits, 1)
	if want := -math.Exp(-40); math.Abs(got[0]/want-1) > 1e-15 {
		t.Errorf("ln P of the surest class is %v, want %v", got[0], want)
	}
}

func TestLevel(t *testing.T) {
	for _, c := range []struct {
		kind         sdk.OutputKind
		v            float32
		level, slope float64
	}{
		{sdk.Logits, -3, -3, 1},
		{sdk.Probabilities, .25, math.Log(.25), 4},
		{sdk.Probabilities, 0, math.Log(1e-30), 1e30},
	} {
		if l, s := Level(c.kind, c.v); l != c.level || math.Abs(s/c.slope-1) > 1e-15 {
			t.Errorf("Level(%v, %v) = %v, %v, want %v, %v", c.kind, c.v, l, s, c.level, c.slope)
		}
	}
}

func TestSoftmax(t *testing.T) {
	for _, c := range []struct {
		z    []float32
		want []float64
	}{
		{[]float32{0, 0, 0, 0}, []float64{.25, .25, .25, .25}},
		{[]float32{3e38, -3e38}, []float64{1, 0}},
		{[]float32{-1e6, -1e6 + 1}, []float64{1 / (1 + math.E), math.E / (1 + math.E)}},
	} {
		got := make([]float64, len(c.z))
		Softmax(got, c.z)
		for i, w := range c.want {
			if math.Abs(got[i]-w) > 1e-15 {
				t.Errorf("softmax(%v) = %v, want %v", c.z, got, c.want)
			}
		}
	}
}

// TestPullSoftmax: against central differences of Σ d·log-softmax.
func TestPullSoftmax(t *testing.T) {
	z, d := []float64{.3, -1, 2, .5}, []float64{1, -2, .5, 3}
	value := func(z []float64) float64 {
		y, sum := append([]float64(nil), z...), 0.0
		LogSoftmax(y)
		for c, v := range y {
			sum += d[c] * v
		}
		return sum
	}
	p := append([]float64(nil), z...)
	LogSoftmax(p)
	exp(p)
	got := append([]float64(nil), d...)
	PullSoftmax(got, p)
	const h, tolerance = 1e-5, 1e-9
	for c := range z {
		up, down := append([]float64(nil), z...), append([]float64(nil), z...)
		up[c], down[c] = z[c]+h, z[c]-h
		if want := (value(up) - value(down)) / (2 * h); math.Abs(got[c]-want) > tolerance {
			t.Errorf("gradient at logit %d is %v, want %v", c, got[c], want)
		}
	}
}

func TestArgmax(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		x                      []float32
		largest, skip, another int
	}{
		{[]float32{1, 3, 2}, 1, 1, 2},
		{[]float32{3, 1, 3}, 0, 0, 2},
		{[]float32{-1, -1, -1}, 0, 0, 1},
		{[]float32{-3, -1, -2}, 1, 0, 1},
		{[]float32{5}, 0, 0, 0},
		{[]float32{1, nan, 2}, 2, 2, 0},
		{nil, 0, 0, 0},
	} {
		if got := Argmax(c.x); got != c.largest {
			t.Errorf("Argmax(%v) = %d, want %d", c.x, got, c.largest)
		}
		if got := ArgmaxBut(c.x, c.skip); got != c.another {
			t.Errorf("ArgmaxBut(%v, %d) = %d, want %d", c.x, c.skip, got, c.another)
		}
	}
}
