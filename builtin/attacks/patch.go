package attacks

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Patch changes one square of the example and nothing else, that as far as the box lets
// it: a visible patch made for each row, LaVAN (Karmon, Zoran and Goldberg 2018,
// arXiv:1801.02608; after the universal one of Brown et al. 2017, arXiv:1712.09665). Here
// the place is where the loss is most sensitive, then the next one that does not overlap,
// and within it the descent is along the gradient's sign. Flat inputs are laid out on a
// grid that is as square as possible.
type Patch struct {
	Norm   string  `yaml:"norm" enum:"l0" doc:"norm of the ball: the number of features that change"`
	Eps    float64 `yaml:"eps" check:">= 1" doc:"most features that change: the patch is the largest square of so many, all channels of a pixel together"`
	Steps  int     `yaml:"steps" check:">= 1" doc:"gradient steps at a place"`
	Step   float64 `yaml:"step" check:"> 0, <= 1" doc:"length of the first step, in widths of the box; the last one is a tenth of it"`
	Places int     `yaml:"places" check:">= 1" doc:"places tried, on the rows where none before succeeded"`
}

func newPatch() *Patch { return &Patch{Norm: "l0", Eps: 25, Steps: 40, Step: 0.2, Places: 3} }

var _ attack.Overshooting = (*Patch)(nil)

// Ball implements attack.Attack.
func (a *Patch) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *Patch) Needs() attack.Need { return attack.NeedsGradients }

// Overshoots implements attack.Overshooting: a larger patch may lie elsewhere.
func (a *Patch) Overshoots() bool { return true }

// Objective implements attack.Chooser.
func (a *Patch) Objective(g attack.Goal) (attack.Objective, error) { return g.Margin(0), nil }

// Perturb implements attack.Attack.
func (a *Patch) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	g := newGrid(x.Example())
	side := g.side(b.Eps)
	if side == 0 {
		return x.Clone(), nil
	}
	p := attack.NewProbe(m, x.N(), o, b)
	best := newKeeper(x)
	s, err := p.Gradient(ctx, attack.All(x.N()), x)
	if err != nil {
		return nil, err
	}
	places := make([][]float64, x.N()) // how sensitive the loss is to each
	for i := range places {
		places[i] = g.sensitivity(s.Grad.Row(i), side, b.Box)
		best.offer(i, x.Row(i), s.Loss[i], s.Done[i])
	}
	for range a.Places {
		corner := make([]int, x.N())
		var rows []int
		for i := range x.N() {
			if best.done[i] || !p.Affords(i, 1) {
				continue
			}
			if corner[i] = g.take(places[i], side); corner[i] >= 0 {
				rows = append(rows, i)
			}
		}
		if err := a.fill(ctx, p, x, best, rows, corner, side, g, b); err != nil {
			return nil, err
		}
	}
	return best.x, nil
}

// fill descends within a patch for each of the rows.
func (a *Patch) fill(ctx context.Context, p *attack.Probe, x *tensor.Tensor, best *keeper, rows, corner []int, side int, g grid, b attack.Budget) error {
	y := x.Clone()
	for k := 0; k <= a.Steps && len(rows) > 0; k++ {
		s, err := p.Gradient(ctx, rows, y.Gather(rows))
		if err != nil {
			return err
		}
		step := a.Step * (1 - 0.9*float64(k)/float64(a.Steps))
		var left []int
		for j, i := range rows {
			best.offer(i, y.Row(i), s.Loss[j], s.Done[j])
			if s.Done[j] || !p.Affords(i, 1) {
				continue
			}
			left = append(left, i)
			row, grad := y.Row(i), s.Grad.Row(j)
			for ch := range g.c {
				g.each(corner[i]/g.w, corner[i]%g.w, side, ch, func(f, _, _ int) {
					lo, hi := b.Box.At(f)
					row[f] -= sign(grad[f]) * float32(step) * (hi - lo)
				})
			}
			b.Project(x.Row(i), row)
		}
		rows = left
	}
	return nil
}

// side is that of the largest square of at most eps features, 0 if there is none.
func (g grid) side(eps float64) int {
	pixels := min(eps/float64(g.c), float64(g.h*g.w)) // eps may have no bound
	return min(int(math.Sqrt(math.Floor(pixels))), g.h, g.w)
}

// sensitivity sums, for the patch whose corner a pixel is, how much its features could
// change the loss; −1 where none fits.
func (g grid) sensitivity(grad []float32, side int, box attack.Box) []float64 {
	out := make([]float64, g.h*g.w)
	for i := range out {
		top, left := i/g.w, i%g.w
		if top+side > g.h || left+side > g.w {
			out[i] = -1
			continue
		}
		for ch := range g.c {
			g.each(top, left, side, ch, func(j, _, _ int) {
				lo, hi := box.At(j)
				out[i] += math.Abs(float64(grad[j]) * float64(hi-lo))
			})
		}
	}
	return out
}

// take is the most sensitive place, the first of equals, and leaves out those that overlap
// it; −1: there is none.
func (g grid) take(places []float64, side int) int {
	best := -1
	for i, v := range places {
		if v >= 0 && (best < 0 || v > places[best]) {
			best = i
		}
	}
	if best < 0 {
		return best
	}
	for i := range places {
		if abs(float32(i/g.w-best/g.w)) < float32(side) && abs(float32(i%g.w-best%g.w)) < float32(side) {
			places[i] = -1
		}
	}
	return best
}
