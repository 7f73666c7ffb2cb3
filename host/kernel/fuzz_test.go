package kernel

import "testing"

// canary is written around results and must survive.
const canary = float32(-12345)

// inCanaries is n numbers with canaries on both sides; the check reports damage.
func inCanaries(t *testing.T, n int) (d []float32, check func()) {
	const margin = 40
	all := make([]float32, n+2*margin)
	for i := range all {
		all[i] = canary
	}
	return all[margin : margin+n : margin+n], func() {
		t.Helper()
		for i, v := range all {
			if (i < margin || i >= margin+n) && v != canary {
				t.Fatalf("number %d beside the %d of the result is overwritten", i-margin, n)
			}
		}
	}
}

// FuzzGemm holds products of any shape and strides to a float64 reference, on
// every level.
func FuzzGemm(f *testing.F) {
	for _, s := range [][3]uint16{{0, 3, 4}, {3, 0, 4}, {3, 4, 0}, {1, 1, 1}, {13, 31, 7}, {15, 33, 257}, {64, 257, 3}, {343, 17, 5}} {
		f.Add(uint64(1), s[0], s[1], s[2], uint8(0))
	}
	f.Fuzz(func(t *testing.T, seed uint64, m, n, k uint16, pad uint8) {
		rows, cols, depth := int(m%400), int(n%300), int(k%600)
		if rows*cols*depth > 4_000_000 {
			t.Skip()
		}
		for _, e := range multipliers(t, 1+int(seed%3)) {
			r := source(seed)
			a, b := randomMatrix(r, rows, depth), randomMatrix(r, depth, cols)
			ldc := cols + int(pad)
			size := 0
			if rows > 0 && cols > 0 {
				size = (rows-1)*ldc + cols
			}
			c, check := inCanaries(t, size)
			copy(c, randoms(r, len(c)))
			ep := Epilogue{Accumulate: r.IntN(2) == 0, Act: activations[r.IntN(len(activations))]}
			if r.IntN(2) == 0 {
				ep.Bias = randoms(r, cols)
			}
			want := gemmRef(c, ldc, operandsOf(e, a), operandsOf(e, b), ep)
			e.Gemm(c, ldc, a, b, ep)
			check()
			near(t, "product", c, want, sumTol(depth))
			e.Close()
		}
	})
}

// FuzzConv holds convolutions of any geometry to a float64 reference, on
// every level.
func FuzzConv(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(seed), uint8(3*seed), uint8(5*seed), uint8(seed+1))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size, channels, filters, n uint8) {
		r := source(seed)
		g := randomConv(r)
		g.H += int(size % 16)
		g.W += int(size / 16)
		g.C += int(channels % 40)
		g.F = int(filters % 70)
		for _, e := range multipliers(t, 1+int(seed%3)) {
			testConv(t, e, source(seed), g, int(n%4))
			e.Close()
		}
	})
}
