package kernel

import (
	"fmt"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// TestBLAS compares Sgemm with gonum's.
func TestBLAS(t *testing.T) {
	eachEngine(t, func(t *testing.T, e *Engine) {
		r := source(50)
		const m, n, k = 37, 41, 53
		for _, tA := range []blas.Transpose{blas.NoTrans, blas.Trans} {
			for _, tB := range []blas.Transpose{blas.NoTrans, blas.Trans} {
				for _, s := range [][2]float32{{1, 0}, {1, 1}, {.5, 0}, {2, .5}, {0, .5}, {0, 0}, {-1, -1}} {
					const ld = 60
					a, b, c := randoms(r, ld*ld), randoms(r, ld*ld), randoms(r, m*ld)
					want := append([]float32(nil), c...)
					gonum.Implementation{}.Sgemm(tA, tB, m, n, k, s[0], a, ld, b, ld, s[1], want, ld)
					BLAS{Engine: e}.Sgemm(tA, tB, m, n, k, s[0], a, ld, b, ld, s[1], c, ld)
					exact := make([]float64, len(want))
					for i, v := range want {
						exact[i] = float64(v)
					}
					near(t, fmt.Sprintf("Sgemm(%c%c, alpha %v, beta %v)", tA, tB, s[0], s[1]), c, exact, 3*sumTol(k))
				}
			}
		}
	})
}
