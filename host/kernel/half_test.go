package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// halfEngine multiplies bfloat16, by the machine's instructions if it has them and
// pairs is set.
func halfEngine(t testing.TB, l Level, threads int, pairs bool) *Engine {
	t.Helper()
	e, err := New(Options{Threads: threads, Level: l, Precision: BF16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if !pairs {
		e.half = half{on: true, per: 1}
	}
	return e
}

// halves are engines for bfloat16: one by the machine's instructions, if it has
// them, and one for each level without.
func halves(t testing.TB, threads int) []*Engine {
	t.Helper()
	var out []*Engine
	if e := halfEngine(t, bestLevel(), threads, true); e.half.pairs {
		out = append(out, e)
	}
	for _, l := range Levels() {
		out = append(out, halfEngine(t, l, threads, false))
	}
	return out
}

// multipliers are engines of all levels and precisions.
func multipliers(t testing.TB, threads int) []*Engine {
	t.Helper()
	var out []*Engine
	for _, l := range Levels() {
		out = append(out, newEngine(t, l, threads))
	}
	return append(out, halves(t, threads)...)
}

func (e *Engine) title() string {
	return fmt.Sprintf("%s/%s/pairs=%v", e.level, e.Precision(), e.half.pairs)
}

// eachMultiplier runs f on every level and precision with several threads.
func eachMultiplier(t *testing.T, f func(t *testing.T, e *Engine)) {
	for _, threads := range []int{1, 3} {
		for _, e := range multipliers(t, threads) {
			t.Run(fmt.Sprintf("%s/%d", e.title(), threads), func(t *testing.T) { f(t, e) })
		}
	}
}

// roundedFor is x as e's products see it.
func roundedFor(e *Engine, x []float32) []float32 {
	if e.Precision() == Float32 {
		return x
	}
	d := make([]float32, len(x))
	toHalfGo(d, x)
	return d
}

func operandsOf(e *Engine, m Matrix) Matrix {
	m.Data = roundedFor(e, m.Data)
	return m
}

// anyFloats are numbers of any bits: also NaN, infinite and subnormal.
func anyFloats(r *rand.Rand, n int) []float32 {
	d := make([]float32, n)
	for i := range d {
		d[i] = math.Float32frombits(r.Uint32())
	}
	return d
}

// extremes are numbers whose products are near a limit of float32: subnormal, or
// infinite.
func extremes(r *rand.Rand, n int, large bool) []float32 {
	d := make([]float32, n)
	for i := range d {
		e := -63 + r.IntN(8) - 4
		if large {
			e = 64 - r.IntN(6)
		}
		d[i] = float32(math.Ldexp(r.Float64()*2-1, e))
		if !large && r.IntN(9) == 0 { // together with one near 1
			d[i] = float32(math.Ldexp(r.Float64()*2-1, []int{-126, -1}[r.IntN(2)]))
		}
	}
	return d
}

// TestToHalf holds every level's rounding, and that into words, to the one that
// Go's float64 decides.
func TestToHalf(t *testing.T) {
	r := source(90)
	x := anyFloats(r, 40_000)
	for i := range x[:5000] { // ties and their neighbours, small and large
		x[i] = math.Float32frombits(r.Uint32()&0xff7f0000 | 0x8000 + r.Uint32N(3) - 1)
	}
	copy(x[5000:], []float32{0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.MaxFloat32, 0x1p-126, 0x1p-127, 0x1p-149,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.Float32frombits(0x7f800001), math.Float32frombits(0xffffffff)})
	want := make([]float32, len(x))
	for i, v := range x {
		size := math.Abs(float64(v))
		switch {
		case v != v || math.IsInf(float64(v), 0):
			want[i] = v
		case size < 0x1p-126:
			want[i] = float32(math.Copysign(0, float64(v)))
		default:
			_, e := math.Frexp(size)
			grain := math.Ldexp(1, e-8)
			w := math.RoundToEven(size/grain) * grain
			if w >= 0x1p128 {
				w = math.Inf(1)
			}
			want[i] = float32(math.Copysign(w, float64(v)))
		}
	}
	for _, e := range halves(t, 1) {
		y := make([]float32, len(x))
		e.ops.toHalf(y, x)
		sameBits(t, e.title(), y, want)
		if !e.half.pairs {
			continue
		}
		words := make([]float32, len(x)/2)
		pairAlong(words, x, len(words), len(x), 1, len(x))
		for i, w := range words {
			u := math.Float32bits(w)
			y[2*i], y[2*i+1] = math.Float32frombits(u&0xffff0000), math.Float32frombits(u<<16)
		}
		sameBits(t, "words", y, want)
	}
}

// TestHalfBits holds products of bfloat16 to the same bits by the machine's
// instructions and without, at every level, for any numbers, threads and rows at a
// time.
func TestHalfBits(t *testing.T) {
	r := source(91)
	for i := range 240 {
		m, n, k := 1+r.IntN(40), 1+r.IntN(70), r.IntN(40)
		if i < 4 {
			m, n, k = []int{345, 64, 400, 37}[i], []int{70, 600, 65, 700}[i], []int{521, 300, 40, 1}[i]
		}
		make := randoms
		switch i % 4 {
		case 1:
			make = anyFloats
		case 2:
			make = func(r *rand.Rand, n int) []float32 { return extremes(r, n, false) }
		case 3:
			make = func(r *rand.Rand, n int) []float32 { return extremes(r, n, true) }
		}
		a, b := randomMatrix(r, m, k), randomMatrix(r, k, n)
		copy(a.Data, make(r, len(a.Data)))
		copy(b.Data, make(r, len(b.Data)))
		ep := Epilogue{Accumulate: r.IntN(2) == 0, Act: Act{Kind: []ActKind{Linear, ReLU}[r.IntN(2)]}}
		if r.IntN(2) == 0 {
			ep.Bias = make(r, n)
		}
		old := make(r, m*n)
		var first []float32
		for _, threads := range []int{1, 3} {
			for _, e := range halves(t, threads) {
				for _, step := range []int{m, 7} {
					c := append([]float32(nil), old...)
					for i := 0; i < m; i += step {
						h := min(step, m-i)
						part := a
						part.Data, part.Rows = tail(a.Data, i*a.RowStride), h
						e.Gemm(c[i*n:(i+h)*n], n, part, b, ep)
					}
					if first == nil {
						first = c
					}
					sameBits(t, fmt.Sprintf("%d×%d×%d, %s, %d threads, %d rows at a time", m, n, k, e.title(), threads, step), c, first)
				}
			}
		}
	}
}

// TestHalfBias: a bias is added in the same way to few rows and to many, of which a
// product with a transposed matrix is made the other way round.
func TestHalfBias(t *testing.T) {
	const m, n, k = flipFrom, 8 * flipFrom, 4 * flipFrom
	a, b := Dense(make([]float32, m*k), m, k), Dense(make([]float32, n*k), n, k).T()
	bias := make([]float32, n)
	for i := range bias {
		bias[i] = 0x1p-130 // subnormal, and so 0
	}
	for _, e := range halves(t, 1) {
		many, one := make([]float32, m*n), make([]float32, n)
		e.Gemm(many, n, a, b, Epilogue{Bias: bias})
		e.Gemm(one, n, Dense(a.Data, 1, k), b, Epilogue{Bias: bias})
		sameBits(t, e.title(), many[:n], one)
	}
}

// TestHalfConvBits: convolutions of bfloat16 have bits that depend on neither the
// machine's instructions nor threads nor batch. At the generic level that holds
// of what goes over columns at all levels.
func TestHalfConvBits(t *testing.T) {
	r := source(92)
	few, columns := 0, 0
	for i := range 60 {
		g := randomConv(r)
		if i%3 == 0 {
			g.C, g.F = 17+r.IntN(40), 33+r.IntN(40)
		}
		n := 1 + r.IntN(5)
		x, w, dy := randoms(r, n*g.in()), randoms(r, g.depth()*g.F), randoms(r, n*g.out())
		forms := [3]form{g.forwardForm(AVX512, true), g.inputForm(AVX512, true), g.kernelForm(AVX512, true)}
		var first [3][]float32
		for _, threads := range []int{1, 3} {
			for _, e := range halves(t, threads) {
				dw := make([]float32, len(w))
				e.ConvKernel(dw, x, dy, n, g)
				for _, batch := range []int{n, 1} {
					y, dx := make([]float32, len(dy)), make([]float32, len(x))
					for i := 0; i < n; i += batch {
						h := min(batch, n-i)
						e.ConvForward(y[i*g.out():(i+h)*g.out()], x[i*g.in():(i+h)*g.in()], w, h, g, Epilogue{})
						e.ConvInput(dx[i*g.in():(i+h)*g.in()], dy[i*g.out():(i+h)*g.out()], w, h, g, Epilogue{})
					}
					got := [3][]float32{y, dx, dw}
					if first[0] == nil {
						first = got
					}
					for i, what := range []string{"forward", "input", "kernel"} {
						if e.level == Generic && forms[i] != byColumns {
							few++
							continue
						}
						columns++
						sameBits(t, fmt.Sprintf("%+v ×%d, %s, %s, %d threads, %d images at a time", g, n, what, e.title(), threads, batch), got[i], first[i])
					}
				}
			}
		}
	}
	if few == 0 || columns == 0 {
		t.Errorf("%d results with few channels, %d over columns", few, columns)
	}
}

// TestOptionsPrecision: the default is float32, and an unknown one is refused.
func TestOptionsPrecision(t *testing.T) {
	for in, want := range map[Precision]Precision{"": Float32, Float32: Float32, BF16: BF16} {
		e, err := New(Options{Threads: 1, Precision: in})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Precision(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		e.Close()
	}
	if _, err := New(Options{Precision: "fp8"}); err == nil {
		t.Error("fp8: no error")
	}
}
