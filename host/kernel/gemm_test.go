package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// gemmRef is the product with its epilogue in float64.
func gemmRef(c []float32, ldc int, a, b Matrix, ep Epilogue) []float64 {
	out := make([]float64, len(c))
	for i, v := range c {
		out[i] = float64(v)
	}
	for i := range a.Rows {
		for j := range b.Cols {
			s := 0.0
			if ep.Accumulate {
				s = float64(c[i*ldc+j])
			}
			for p := range a.Cols {
				s += float64(a.Data[i*a.RowStride+p*a.ColStride]) * float64(b.Data[p*b.RowStride+j*b.ColStride])
			}
			if ep.Bias != nil {
				s += float64(ep.Bias[j])
			}
			out[i*ldc+j] = actRef(s, ep.Act)
		}
	}
	return out
}

// randomMatrix is a rows×cols view, of one of the kinds of strides.
func randomMatrix(r *rand.Rand, rows, cols int) Matrix {
	switch pad := r.IntN(3); r.IntN(4) {
	case 0, 1:
		return Matrix{randoms(r, max(0, rows*(cols+pad)-pad)), rows, cols, cols + pad, 1}
	case 2:
		return Matrix{randoms(r, max(0, cols*(rows+pad)-pad)), rows, cols, 1, rows + pad}
	default:
		return Matrix{randoms(r, rows*cols*3), rows, cols, cols * 3, 3}
	}
}

func TestGemm(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 5, 7, 13, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65}
	eachMultiplier(t, func(t *testing.T, e *Engine) {
		r := source(3)
		for range 300 {
			m, n, k := sizes[r.IntN(len(sizes))], sizes[r.IntN(len(sizes))], sizes[r.IntN(len(sizes))]
			testProduct(t, e, r, m, n, k)
		}
		for _, s := range [][3]int{{400, 33, 300}, {1, 300, 513}, {350, 16, 40}, {130, 140, 257}, {600, 65, 70}, {33, 300, 40}, {64, 401, 300}} {
			testProduct(t, e, r, s[0], s[1], s[2])
		}
	})
}

func testProduct(t *testing.T, e *Engine, r *rand.Rand, m, n, k int) {
	t.Helper()
	a, b := randomMatrix(r, m, k), randomMatrix(r, k, n)
	ldc := n + r.IntN(3)
	c := randoms(r, m*ldc)
	ep := Epilogue{Accumulate: r.IntN(2) == 0, Act: Act{Kind: ActKind(r.IntN(int(Sigmoid) + 1)), Alpha: .3}}
	if r.IntN(2) == 0 {
		ep.Bias = randoms(r, n)
	}
	var pre []float64
	if r.IntN(3) == 0 {
		ep.Pre = make([]float32, len(c))
		lin := ep
		lin.Act = Act{}
		pre = gemmRef(c, ldc, operandsOf(e, a), operandsOf(e, b), lin)
	}
	want := gemmRef(c, ldc, operandsOf(e, a), operandsOf(e, b), ep)
	what := fmt.Sprintf("Gemm(%d×%d·%d×%d %+v)", m, k, k, n, ep.Act)
	e.Gemm(c, ldc, a, b, ep)
	near(t, what, c, want, sumTol(k))
	if pre != nil {
		for i := range m {
			near(t, what+" pre", ep.Pre[i*ldc:i*ldc+n], pre[i*ldc:i*ldc+n], sumTol(k))
		}
	}
}

// TestGemmBits holds that a result's bits depend neither on threads nor on
// the other rows of the product, nor on the x86 level.
func TestGemmBits(t *testing.T) {
	r := source(4)
	for _, s := range [][3]int{{64, 37, 300}, {400, 70, 520}, {333, 257, 600}} {
		m, n, k := s[0], s[1], s[2]
		a, b, bias := randoms(r, m*k), randoms(r, k*n), randoms(r, n)
		var asm []float32
		for _, l := range Levels() {
			var first []float32
			for _, threads := range []int{1, 2, 3, 8} {
				e := newEngine(t, l, threads)
				for _, step := range []int{m, 7, 1} {
					c := make([]float32, m*n)
					rows := m
					if step == 1 {
						rows = 5
					}
					for i := 0; i < rows; i += step {
						h := min(step, rows-i)
						e.Gemm(c[i*n:(i+h)*n], n, Dense(a[i*k:(i+h)*k], h, k), Dense(b, k, n), Epilogue{Bias: bias, Act: Act{Kind: ReLU}})
					}
					if first == nil {
						first = c
					}
					sameBits(t, fmt.Sprintf("%s, %d threads, %d rows at a time", l, threads, step), c[:rows*n], first[:rows*n])
				}
			}
			if l == Generic {
				continue
			}
			if asm == nil {
				asm = first
			}
			sameBits(t, "levels", first, asm)
		}
	}
}
