package kernel

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// BLAS offers the engine's products to programs that speak gonum's interface,
// and is how they are compared with another implementation: Sgemm is the
// engine's, the rest gonum's own. It belongs to one goroutine, like its engine.
type BLAS struct {
	gonum.Implementation
	Engine *Engine
}

var _ blas.Float32Level3 = BLAS{}

// Sgemm computes c = alpha·op(a)·op(b) + beta·c; op(a) is m×k and op(b) k×n.
func (s BLAS) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m < 0 || n < 0 || k < 0 || ldc < max(1, n) {
		panic("kernel: Sgemm: bad size")
	}
	if m == 0 || n == 0 {
		return
	}
	if (m-1)*ldc+n > len(c) {
		panic("kernel: Sgemm: c too short")
	}
	e := s.Engine
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		switch {
		case beta == 0:
			clear(row)
		case alpha != 0 && beta != alpha:
			e.Scale(row, row, beta/alpha, 0)
		case alpha == 0 && beta != 1:
			e.Scale(row, row, beta, 0)
		}
	}
	if alpha == 0 {
		return
	}
	e.Gemm(c, ldc, operand(a, lda, m, k, tA), operand(b, ldb, k, n, tB), Epilogue{Accumulate: beta != 0})
	if alpha != 1 {
		for i := range m {
			row := c[i*ldc : i*ldc+n]
			e.Scale(row, row, alpha, 0)
		}
	}
}

// operand views a matrix of rows×cols that is stored, or stored transposed.
func operand(data []float32, ld, rows, cols int, t blas.Transpose) Matrix {
	if t == blas.NoTrans {
		return Matrix{data, rows, cols, ld, 1}
	}
	return Matrix{data, rows, cols, 1, ld}
}
