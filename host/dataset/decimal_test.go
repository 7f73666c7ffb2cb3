package dataset

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// sameNumber holds Decimal against strconv.
func sameNumber(t *testing.T, text string) (fast bool) {
	t.Helper()
	got, n, ok := Decimal(text)
	if !ok {
		return false
	}
	if n < len(text) { // it has read a number, and something follows
		text = text[:n]
	}
	want, err := strconv.ParseFloat(text, 32)
	if err != nil || math.Float32bits(float32(want)) != math.Float32bits(got) {
		t.Errorf("%s is read as %v (%x), want %v (%x), %v", text, got, math.Float32bits(got), want, math.Float32bits(float32(want)), err)
	}
	return true
}

// Numbers are read to the bits of strconv, those in the middle between two
// float32 and beside it too, and most of them fast.
func TestDecimal(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	random := map[string]func() string{
		"bytes of images": func() string { return strconv.FormatFloat(float64(float32(rng.UintN(256))/255), 'g', -1, 64) },
		"float32":         func() string { return strconv.FormatFloat(float64(rng.Float32()), 'g', -1, 32) },
		"float32 by name": func() string { return strconv.FormatFloat(float64(rng.Float32()), 'g', -1, 64) },
		"normal":          func() string { return strconv.FormatFloat(rng.NormFloat64()*100, 'f', -1, 64) },
		"any bits": func() string {
			return strconv.FormatFloat(float64(math.Float32frombits(rng.Uint32()&^(1<<30))), 'e', -1, 32)
		},
		"middles": func() string {
			f := rng.Float32() * 4
			m := (float64(f) + float64(math.Nextafter32(f, 9))) / 2
			for range rng.UintN(4) {
				m = math.Nextafter(m, float64(rng.UintN(9)))
			}
			return strconv.FormatFloat(m, 'g', 19-rng.IntN(4), 64)
		},
	}
	for name, text := range random {
		fast := 0
		const n = 50000
		for range n {
			if sameNumber(t, text()) {
				fast++
			}
		}
		if name != "any bits" && name != "middles" && fast < n*9/10 {
			t.Errorf("%s: only %d of %d are read fast", name, fast, n)
		}
	}
	for _, text := range []string{"0", "-0", "-0.0", "0e9", "007", "1e22", "1e-22", "3.4028235e38", "3.4028236e38", "1e39", "1.17549435e-38", "1e-40", "16777217", "9007199254740993",
		"0.00000000000000000001", "0.0000000000000000000", "12345678901234567890", "1e999999999999", "1e0005", "-1.5E+2"} {
		sameNumber(t, text)
	}
	for _, text := range []string{"", "-", "+1", ".5", "5.", "1e", "1e+", "NaN", "Inf", "e5", "--1"} {
		if v, _, ok := Decimal(text); ok {
			t.Errorf("%q is read as %v", text, v)
		}
	}
	if v, n, ok := Decimal([]byte("1_000")); !ok || v != 1 || n != 1 {
		t.Errorf("1_000 is read as %v of %d bytes", v, n)
	}
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0.3137255012989044", "-1.5e-7", "16777217", "0.00392156862745098"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { sameNumber(t, text) })
}
