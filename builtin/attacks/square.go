package attacks

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Square is random search over square patches (Andriushchenko et al. 2020,
// arXiv:1912.00049): a patch that lowers the margin is kept. It needs
// predictions only. Flat inputs are laid out on a grid that is as square as
// possible.
type Square struct {
	attack.Unit
	Norm    string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps     float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Queries int     `yaml:"queries" check:">= 1" doc:"predictions per instance"`
	PInit   float64 `yaml:"p_init" check:"> 0, <= 1" doc:"fraction of the features that the first patches change"`
}

var (
	_ attack.Attack  = (*Square)(nil)
	_ attack.Chooser = (*Square)(nil)
	_ attack.Counted = (*Square)(nil)
)

// Ball implements attack.Attack.
func (a *Square) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *Square) Needs() attack.Need { return attack.NeedsPredictions }

// MaxQueries implements attack.Counted: x itself, and Queries patches.
func (a *Square) MaxQueries() int { return a.Queries + 1 }

// Objective implements attack.Chooser.
func (a *Square) Objective(g attack.Goal) (attack.Objective, error) { return g.Margin(0), nil }

// Perturb implements attack.Attack.
func (a *Square) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	n := x.N()
	if math.IsInf(b.Eps, 1) {
		b.Eps = reach(b, x.Stride())
	}
	g := newGrid(x.Example())
	y, best := x.Clone(), x.Clone()
	p := attack.NewProbe(m, n, o, b)
	loss, random := make([]float64, n), make([]*rand.Rand, n)
	for i := range n {
		random[i] = b.Rand(i, 2)
		loss[i] = math.Inf(1)
	}
	s, err := p.Loss(ctx, attack.All(n), x)
	if err != nil {
		return nil, err
	}
	var rows []int
	for i := range n {
		if !s.Done[i] && p.Affords(i, 1) {
			rows = append(rows, i)
		}
	}
	for k := range a.Queries {
		if len(rows) == 0 {
			break
		}
		patch := a.share(k)
		for _, i := range rows {
			switch {
			case k == 0 && b.Norm == attack.Linf:
				g.stripes(y.Row(i), x.Row(i), b.Eps, random[i])
			case k == 0:
				g.mounds(y.Row(i), x.Row(i), b.Eps, random[i])
			case b.Norm == attack.Linf:
				g.patch(y.Row(i), best.Row(i), x.Row(i), b.Eps, patch, random[i])
			default:
				g.shift(y.Row(i), best.Row(i), x.Row(i), b.Eps, patch, random[i])
			}
			b.Project(x.Row(i), y.Row(i))
		}
		s, err := p.Loss(ctx, rows, y.Gather(rows))
		if err != nil {
			return nil, err
		}
		var left []int
		for j, i := range rows {
			if s.Loss[j] <= loss[i] || s.Done[j] {
				loss[i] = s.Loss[j]
				copy(best.Row(i), y.Row(i))
			}
			if !s.Done[j] && p.Affords(i, 1) {
				left = append(left, i)
			}
		}
		rows = left
	}
	return best, nil
}

// share is the part of the features that patch k changes: halved at fixed
// places of a budget of 10,000, to which k is scaled.
func (a *Square) share(k int) float64 {
	at := k * 10000 / max(a.Queries, 1)
	p := a.PInit
	for _, bound := range [...]int{10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000} {
		if at > bound {
			p /= 2
		}
	}
	return p
}

// grid lays an example out as height × width × channels; a flat one on the
// smallest square that holds it, the cells past its end left out.
type grid struct{ h, w, c, d int }

func newGrid(s tensor.Shape) grid {
	switch len(s) {
	case 3:
		return grid{s[0], s[1], s[2], s.Size()}
	case 2:
		return grid{s[0], s[1], 1, s.Size()}
	}
	d := s.Size()
	side := int(math.Ceil(math.Sqrt(float64(d))))
	return grid{(d + side - 1) / side, side, 1, d}
}

// each visits the cells of a patch of one channel: the index into the example
// and the place in the patch.
func (g grid) each(top, left, size, channel int, f func(j, r, c int)) {
	for r := range size {
		for c := range size {
			if top+r < g.h && left+c < g.w {
				if j := ((top+r)*g.w+left+c)*g.c + channel; j < g.d {
					f(j, r, c)
				}
			}
		}
	}
}

func coin(r *rand.Rand) float64 {
	if r.IntN(2) == 0 {
		return -1
	}
	return 1
}

// stripes begins with columns of ±eps.
func (g grid) stripes(y, x []float32, eps float64, r *rand.Rand) {
	for col := range g.w {
		for ch := range g.c {
			d := coin(r) * eps
			for row := range g.h {
				if j := (row*g.w+col)*g.c + ch; j < g.d {
					y[j] = float32(float64(x[j]) + d)
				}
			}
		}
	}
}

// patch sets a square of each channel to ±eps.
func (g grid) patch(y, best, x []float32, eps, share float64, r *rand.Rand) {
	copy(y, best)
	side := min(g.h, g.w)
	size := min(max(int(math.Round(math.Sqrt(share*float64(g.h*g.w)))), 1), max(side-1, 1))
	top, left := r.IntN(g.h-size+1), r.IntN(g.w-size+1)
	for ch := range g.c {
		d := coin(r) * eps
		g.each(top, left, size, ch, func(j, _, _ int) { y[j] = float32(float64(x[j]) + d) })
	}
}

// mound is the pattern of an L2 patch: two opposite heaps of unit length.
func mound(size int, r *rand.Rand) [][]float64 {
	heap := func(h, w int) [][]float64 {
		out := square(h, w)
		top, left := h/2, w/2
		for k := range max(h/2+1, w/2+1) {
			for i := max(top, 0); i < min(top+2*k+1, h); i++ {
				for j := max(left, 0); j < min(left+2*k+1, w); j++ {
					out[i][j] += 1 / float64((k+1)*(k+1))
				}
			}
			top, left = top-1, left-1
		}
		unit(out, 1)
		return out
	}
	out := append(heap(size/2, size), heap(size-size/2, size)...)
	for i := size / 2; i < size; i++ {
		for j := range out[i] {
			out[i][j] = -out[i][j]
		}
	}
	unit(out, 1)
	if r.IntN(2) == 0 {
		return out
	}
	t := square(size, size)
	for i := range t {
		for j := range t[i] {
			t[i][j] = out[j][i]
		}
	}
	return t
}

func square(h, w int) [][]float64 {
	out := make([][]float64, h)
	for i := range out {
		out[i] = make([]float64, w)
	}
	return out
}

// unit scales m to the given L2 length.
func unit(m [][]float64, length float64) {
	s := 0.0
	for _, row := range m {
		for _, v := range row {
			s += float64(v * v)
		}
	}
	f := length / (1e-12 + math.Sqrt(s))
	for _, row := range m {
		for j := range row {
			row[j] *= f
		}
	}
}

// mounds begins with a tiling of patches, scaled to length eps.
func (g grid) mounds(y, x []float32, eps float64, r *rand.Rand) {
	size := max(min(g.h, g.w)/5, 1)
	d := make([]float32, g.d)
	for top := 0; top+size <= g.h; top += size {
		for left := 0; left+size <= g.w; left += size {
			for ch := range g.c {
				m, s := mound(size, r), coin(r)
				g.each(top, left, size, ch, func(j, i, k int) { d[j] += float32(s * m[i][k]) })
			}
		}
	}
	walk(y, x, d, eps/max(attack.L2.Length(d), 1e-12))
}

// shift moves the L2 mass of one window, and what is left of the budget, into
// a new pattern in another.
func (g grid) shift(y, best, x []float32, eps, share float64, r *rand.Rand) {
	d := make([]float32, g.d)
	total := 0.0
	for j, v := range x {
		d[j] = best[j] - v
		total += float64(d[j]) * float64(d[j])
	}
	size := max(int(math.Round(math.Sqrt(share*float64(g.h*g.w)))), 3)
	size = min(size+1-size%2, max(min(g.h, g.w), 1))
	top, left := r.IntN(g.h-size+1), r.IntN(g.w-size+1)
	top2, left2 := r.IntN(g.h-size+1), r.IntN(g.w-size+1)
	free := max(eps*eps-total, 0) / float64(g.c)
	for ch := range g.c {
		window, both := 0.0, 0.0
		g.each(top, left, size, ch, func(j, _, _ int) { window += float64(d[j]) * float64(d[j]) })
		g.each(top2, left2, size, ch, func(j, i, k int) {
			if top2+i < top || top2+i >= top+size || left2+k < left || left2+k >= left+size {
				both += float64(d[j]) * float64(d[j])
			}
		})
		both += window
		m, s := mound(size, r), coin(r)
		for i := range m {
			for k := range m[i] {
				m[i][k] *= s
			}
		}
		g.each(top, left, size, ch, func(j, i, k int) { m[i][k] += float64(d[j]) / (1e-12 + math.Sqrt(window)) })
		unit(m, math.Sqrt(free+both))
		g.each(top2, left2, size, ch, func(j, _, _ int) { d[j] = 0 })
		g.each(top, left, size, ch, func(j, i, k int) { d[j] = float32(m[i][k]) })
	}
	walk(y, x, d, eps/max(attack.L2.Length(d), 1e-12))
}
