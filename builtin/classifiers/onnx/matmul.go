package onnx

import (
	"github.com/vaeguard/vaeguard/host/kernel"
)

// matMul is the product of matrices in the last two dimensions; the others are
// broadcast, and vectors become matrices for the while.
func matMul(c *call) []*value { return []*value{c.product(c.x(0), c.x(1))} }

func (c *call) product(a, b *value) *value {
	a, b = c.plain(a), c.plain(b)
	if len(a.shape) == 0 || len(b.shape) == 0 {
		c.fail("its operands have shapes %v and %v, want at least one dimension", a.shape, b.shape)
	}
	vecA, vecB := len(a.shape) == 1, len(b.shape) == 1
	if vecA {
		a = c.view(a, []int{1, a.shape[0]})
	}
	if vecB {
		b = c.view(b, []int{b.shape[0], 1})
	}
	ra, rb := len(a.shape), len(b.shape)
	if a.shape[ra-1] != b.shape[rb-2] {
		c.fail("cannot multiply shapes %v and %v", a.shape, b.shape)
	}
	m, k, n := a.shape[ra-2], a.shape[ra-1], b.shape[rb-1]
	if rb == 2 { // one matrix for all rows
		m = size(a.shape[:ra-1])
	}
	lead := c.broadcast(a.shape[:ra-2], b.shape[:rb-2])
	shape := append(append([]int{}, lead...), a.shape[ra-2], n)
	out := c.float(shape, false)
	jobs := c.matrices(lead, a.shape[:ra-2], b.shape[:rb-2], rb == 2)
	for _, j := range jobs {
		c.gemm(out.f[j[0]*m*n:][:m*n], n, kernel.Dense(a.f[j[1]*m*k:][:m*k], m, k), kernel.Dense(b.f[j[2]*k*n:][:k*n], k, n), kernel.Epilogue{})
	}
	c.record(out, func() {
		if a.diff {
			d := c.spare(len(a.f))
			clear(d)
			for _, j := range jobs {
				c.gemm(d[j[1]*m*k:][:m*k], k, kernel.Dense(out.d[j[0]*m*n:][:m*n], m, n), kernel.Dense(b.f[j[2]*k*n:][:k*n], k, n).T(), kernel.Epilogue{Accumulate: true})
			}
			c.pass(a, d)
		}
		if b.diff {
			d := c.spare(len(b.f))
			clear(d)
			for _, j := range jobs {
				c.gemm(d[j[2]*k*n:][:k*n], n, kernel.Dense(a.f[j[1]*m*k:][:m*k], m, k).T(), kernel.Dense(out.d[j[0]*m*n:][:m*n], m, n), kernel.Epilogue{Accumulate: true})
			}
			c.pass(b, d)
		}
	}, a, b)
	switch {
	case vecA && vecB:
		return c.view(out, lead)
	case vecA:
		return c.view(out, append(append([]int{}, lead...), n))
	case vecB:
		return c.view(out, shape[:len(shape)-1])
	}
	return out
}

// matrices lists which matrix of the output is made of which of a and b.
func (c *call) matrices(lead, a, b []int, one bool) [][3]int {
	if one {
		return [][3]int{{}}
	}
	jobs := fresh[[3]int](&c.room, size(lead))[:0]
	spreadOf(lead, a, b).each(func(o, i, j, n, sa, sb int) {
		for q := range n {
			jobs = append(jobs, [3]int{o + q, i + q*sa, j + q*sb})
		}
	})
	return jobs
}

// gemm is a product of matrices by the kernels, and pays for it.
func (r *run) gemm(y []float32, ldc int, a, b kernel.Matrix, ep kernel.Epilogue) {
	m, k, n := a.Rows, a.Cols, b.Cols
	r.spend(1, workNode)
	r.spend(m, n, max(1, k))
	const tile, packs = 64, 128 // columns of a tile at most; rows from which all columns are packed at least
	scratch := int64(0)
	if m > packs {
		scratch = times(int64(k), int64(n+tile))
	}
	if m <= n/4 && m <= k/2 { // the transposed product
		scratch += times(int64(m), int64(n)) + times(int64(k), int64(m+tile))
	}
	r.kernel(scratch)
	r.k.Gemm(y, ldc, a, b, ep)
}

// kernel counts the scratch of the kernels, which they keep: n numbers, and
// a quarter to spare.
func (r *run) kernel(n int64) {
	if b := times(n, 5); b > r.kernels {
		r.hold(b - r.kernels)
		r.kernels = b
	}
}

// gemmOf is alpha·A·B + beta·C with optional transposes.
func gemmOf(c *call) []*value {
	a, b := c.plain(c.x(0)), c.plain(c.x(1))
	if len(a.shape) != 2 || len(b.shape) != 2 {
		c.fail("its operands have shapes %v and %v, want matrices", a.shape, b.shape)
	}
	ta, tb := c.n.int("transA", 0) != 0, c.n.int("transB", 0) != 0
	ma, mb := kernel.Dense(a.f, a.shape[0], a.shape[1]), kernel.Dense(b.f, b.shape[0], b.shape[1])
	if ta {
		ma = ma.T()
	}
	if tb {
		mb = mb.T()
	}
	if ma.Cols != mb.Rows {
		c.fail("cannot multiply shapes %v and %v", a.shape, b.shape)
	}
	alpha, beta := c.n.float("alpha", 1), c.n.float("beta", 1)
	m, n := ma.Rows, mb.Cols
	out := c.float([]int{m, n}, false)
	var ep kernel.Epilogue
	bias := c.has(2) && beta != 0
	if bias && alpha == 1 && beta == 1 && !c.x(2).diff && len(c.x(2).f) == n && c.x(2).shape[len(c.x(2).shape)-1] == n {
		ep.Bias, bias = c.x(2).f, false
	}
	c.gemm(out.f, n, ma, mb, ep)
	c.record(out, func() {
		dy := kernel.Dense(out.d, m, n)
		if a.diff {
			d := c.spare(len(a.f))
			if ta {
				c.gemm(d, m, mb, dy.T(), kernel.Epilogue{})
			} else {
				c.gemm(d, ma.Cols, dy, mb.T(), kernel.Epilogue{})
			}
			c.pass(a, d)
		}
		if b.diff {
			d := c.spare(len(b.f))
			if tb {
				c.gemm(d, ma.Cols, dy.T(), ma, kernel.Epilogue{})
			} else {
				c.gemm(d, n, ma.T(), dy, kernel.Epilogue{})
			}
			c.pass(b, d)
		}
	}, a, b)
	y := out
	if alpha != 1 {
		y = c.each(y, scaling(alpha))
	}
	if bias {
		extra := c.x(2)
		if beta != 1 {
			extra = c.each(extra, scaling(beta))
		}
		if y = c.combine(y, extra, add()); len(y.f) != m*n {
			c.fail("its bias has shape %v, want one that is broadcast to %d×%d", extra.shape, m, n)
		}
	}
	return []*value{y}
}
