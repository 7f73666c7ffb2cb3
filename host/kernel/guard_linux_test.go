package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guards hands out slices between pages that may not be touched.
type guards struct {
	t     *testing.T
	r     *rand.Rand
	front bool // the slice starts at the guard, else it ends at one
}

func (g *guards) floats(n int) []float32 {
	g.t.Helper()
	page := unix.Getpagesize()
	size := (4*n+page-1)/page*page + 2*page
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		g.t.Skip("mmap:", err)
	}
	g.t.Cleanup(func() { _ = unix.Munmap(m) })
	for _, guard := range [][]byte{m[:page], m[size-page:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			g.t.Skip("mprotect:", err)
		}
	}
	if n == 0 {
		return nil
	}
	at := page
	if !g.front {
		at = size - page - 4*n
	}
	d := unsafe.Slice((*float32)(unsafe.Pointer(&m[at])), n)
	for i := range d {
		d[i] = g.r.Float32()*2 - 1
	}
	return d
}

func (g *guards) matrix(rows, cols int, transposed bool) Matrix {
	if transposed {
		return Dense(g.floats(rows*cols), cols, rows).T()
	}
	return Dense(g.floats(rows*cols), rows, cols)
}

// TestGuards runs everything on slices that a step too far would fault on.
func TestGuards(t *testing.T) {
	for _, front := range []bool{false, true} {
		eachMultiplier(t, func(t *testing.T, e *Engine) {
			g := &guards{t, source(40), front}
			for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {14, 32, 4}, {15, 33, 5}, {65, 17, 31}, {64, 300, 257}, {343, 47, 65}} {
				for i := range 4 {
					m, n, k := s[0], s[1], s[2]
					e.Gemm(g.floats(m*n), n, g.matrix(m, k, i&1 != 0), g.matrix(k, n, i&2 != 0),
						Epilogue{Bias: g.floats(n), Act: Act{Kind: []ActKind{ReLU, Tanh}[i%2]}, Accumulate: i == 3})
				}
			}
			for i := range 40 {
				c := randomConv(g.r)
				if i&1 != 0 { // few channels, in images of more than one vector
					c.H, c.W, c.C, c.OH, c.OW, c.F = c.H+17, c.W+17, 1+g.r.IntN(9), c.OH+17/c.SH, c.OW+17/c.SW, 1+g.r.IntN(34)
				}
				n := 1 + g.r.IntN(2)
				w := c.depth() * c.F
				e.ConvForward(g.floats(n*c.out()), g.floats(n*c.in()), g.floats(w), n, c, Epilogue{Bias: g.floats(c.F)})
				e.ConvInput(g.floats(n*c.in()), g.floats(n*c.out()), g.floats(w), n, c, Epilogue{Bias: g.floats(c.C)})
				e.ConvKernel(g.floats(w), g.floats(n*c.in()), g.floats(n*c.out()), n, c)
				d := Depthwise{c, 1}
				e.DepthwiseForward(g.floats(n*d.out()), g.floats(n*d.in()), g.floats(d.depth()), n, d, Epilogue{})
				e.DepthwiseInput(g.floats(n*d.in()), g.floats(n*d.out()), g.floats(d.depth()), n, d)
				e.DepthwiseKernel(g.floats(d.depth()), g.floats(n*d.in()), g.floats(n*d.out()), n, d)
				p := Pool{c.H, c.W, c.C, c.OH, c.OW, c.KH, c.KW, c.SH, c.SW, c.Top, c.Left}
				arg := make([]int32, n*p.out())
				e.MaxPool(g.floats(n*p.out()), arg, g.floats(n*p.in()), n, p)
				e.AvgPool(g.floats(n*p.out()), g.floats(n*p.in()), n, p)
				e.AvgPoolGrad(g.floats(n*p.in()), g.floats(n*p.out()), n, p)
			}
			for _, n := range []int{1, 5, 8, 15, 16, 17, 31, 63, 100} {
				v := g.floats
				for _, a := range activations {
					e.Activate(v(n), v(n), a)
					e.ActivateGrad(v(n), v(n), v(n), v(n), a)
				}
				e.Exp(v(n), v(n))
				e.Log(v(n), v(n))
				e.Axpy(v(n), v(n), 2)
				e.Scale(v(n), v(n), 2, 1)
				e.Mul(v(n), v(n), v(n))
				e.ScaleColumns(v(2*n), v(2*n), v(n), v(n))
				e.Reparametrize(v(n), v(n), v(n), v(n))
				e.ReparametrizeGrad(v(n), v(n), v(n), v(n))
				e.Softmax(v(2*n), v(2*n), n)
				e.LogSoftmax(v(2*n), v(2*n), n)
				e.SoftmaxGrad(v(2*n), v(2*n), v(2*n), n)
				e.ColSum(v(n), v(3*n))
				e.ColMoments(v(n), v(n), v(3*n))
				e.SumSquares(v(n))
				e.Adam(v(n), v(n), v(n), v(n), AdamStep{})
				e.SGD(v(n), v(n), v(n), .1, .9, true)
				e.RMSprop(v(n), v(n), v(n), .1, .9, 1)
				e.Normal(v(n), Key{}, 7)
				e.Uniform(v(n), Key{}, 7)
			}
		})
	}
}
