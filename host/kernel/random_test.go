package kernel

import (
	"math"
	"testing"
)

// TestPhilox: the known answers of the authors' Random123 kat_vectors, philox4x32-10.
func TestPhilox(t *testing.T) {
	for _, c := range []struct {
		key   Key
		block uint64
		want  [4]uint32
	}{
		{Key{}, 0, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{Key{math.MaxUint64, math.MaxUint64}, math.MaxUint64, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{Key{0x299f31d0a4093822, 0x0370734413198a2e}, 0x85a308d3243f6a88, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox(c.key, c.block); got != c.want {
			t.Errorf("philox(%x, %x) = %x, want %x", c.key, c.block, got, c.want)
		}
	}
}

func TestRandomStreams(t *testing.T) {
	k := Key{Seed: 1 << 40, Stream: 1 << 50}
	eachEngine(t, func(t *testing.T, e *Engine) {
		for _, fill := range []func([]float32, Key, uint64){e.Uniform, e.Normal} {
			const base = uint64(1<<34 - 300) // over the end of a 32-bit counter of blocks
			all := make([]float32, 1000)
			fill(all, k, base)
			for _, part := range [][2]int{{0, 1}, {5, 9}, {1, 700}, {299, 302}, {64, 128}} {
				d := make([]float32, part[1]-part[0])
				fill(d, k, base+uint64(part[0]))
				sameBits(t, "part", d, all[part[0]:part[1]])
			}
		}
		exact := make([]float32, 500)
		generic := newEngine(t, Generic, 1)
		got := make([]float32, len(exact))
		for _, first := range []uint64{0, 1<<34 - 100} {
			generic.Uniform(exact, k, first)
			e.Uniform(got, k, first)
			sameBits(t, "uniform", got, exact)
			generic.Normal(exact, k, first)
			e.Normal(got, k, first)
			for i, v := range exact {
				if math.Abs(float64(got[i]-v)) > 3e-6 {
					t.Fatalf("normal %d = %v, want %v", i, got[i], v)
				}
			}
		}
		const n = 1 << 17
		d := make([]float32, n)
		e.Uniform(d, k, 3)
		moments(t, "uniform", d, .5, 1./12)
		for _, v := range d {
			if v < 0 || v >= 1 {
				t.Fatalf("uniform %v", v)
			}
		}
		e.Normal(d, k, 3)
		moments(t, "normal", d, 0, 1)
		for i := range d {
			d[i] *= d[i]
		}
		moments(t, "normal squared", d, 1, 2)
	})
}

// moments fails if the mean is more than five standard errors off, or the variance 3 %.
func moments(t *testing.T, what string, d []float32, mean, variance float64) {
	t.Helper()
	s, q := 0.0, 0.0
	for _, v := range d {
		s += float64(v)
		q += (float64(v) - mean) * (float64(v) - mean)
	}
	n := float64(len(d))
	if s /= n; math.Abs(s-mean) > 5*math.Sqrt(variance/n) {
		t.Errorf("%s: mean %v, want %v", what, s, mean)
	}
	if q /= n; math.Abs(q/variance-1) > .03 {
		t.Errorf("%s: variance %v, want %v", what, q, variance)
	}
}
