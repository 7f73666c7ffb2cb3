package attacks

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// SLIDE is sparse L1 descent (Tramèr & Boneh 2019, arXiv:1904.13000): each
// step moves the share 1 − Quantile of features with the largest gradient by
// equal amounts, leaving out those whose step would leave the box, and
// projects onto the L1 ball.
//
// The dialect foolbox2 is the one of the papers on these detectors: it keeps
// the same share by percentile without regard to the box, measures the mean
// absolute change in units of the box, shortens perturbations instead of
// projecting them, and searches the smallest eps by doubling and bisection.
type SLIDE struct {
	attack.Unit
	Norm         string  `yaml:"norm" enum:"l1" doc:"norm of the ball"`
	Eps          float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units; foolbox2: first mean absolute change tried, in widths of the box"`
	Steps        int     `yaml:"steps" check:">= 1" doc:"gradient steps"`
	Step         float64 `yaml:"step" check:"> 0" doc:"L1 length of a step in units of eps"`
	Quantile     float64 `yaml:"quantile" check:">= 0, < 1" doc:"fraction of features that a step leaves unchanged"`
	Dialect      string  `yaml:"dialect" enum:"cleverhans|foolbox2" doc:"which variant"`
	BinarySearch int     `yaml:"binary_search" check:">= 0" doc:"foolbox2: radii tried; 0: eps alone"`
}

var _ attack.Attack = (*SLIDE)(nil)

// Ball implements attack.Attack. The foolbox2 dialect keeps to radii of its
// own.
func (a *SLIDE) Ball() (attack.Norm, float64) {
	if a.Dialect == "foolbox2" {
		return attack.L1, math.Inf(1)
	}
	return attack.L1, a.Eps
}

// Needs implements attack.Attack.
func (a *SLIDE) Needs() attack.Need { return attack.NeedsGradients }

// Perturb implements attack.Attack.
func (a *SLIDE) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	p := attack.NewProbe(m, x.N(), o, b)
	if a.Dialect == "foolbox2" {
		return a.search(ctx, p, x, b)
	}
	eps := b.Eps
	if math.IsInf(eps, 1) {
		eps = reach(b, x.Stride())
	}
	y := x.Clone()
	best := newKeeper(y)
	rows := attack.All(x.N())
	for k := 0; k < a.Steps && p.Affords(0, 2); k++ { // all rows have spent the same
		s, err := p.Gradient(ctx, rows, y)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			best.offer(i, y.Row(i), s.Loss[i], s.Done[i])
			a.sparse(s.Grad.Row(i), y.Row(i), b.Box)
			walk(y.Row(i), y.Row(i), s.Grad.Row(i), a.Step*eps)
			b.Project(x.Row(i), y.Row(i))
		}
	}
	s, err := p.Loss(ctx, rows, y)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		best.offer(i, y.Row(i), s.Loss[i], s.Done[i])
	}
	return best.x, nil
}

// sparse turns a gradient of what is minimised into a step of L1 length 1
// along its largest entries that can still move: where the actual step, which
// goes against the gradient, would leave the box, there is none.
func (a *SLIDE) sparse(g, y []float32, box attack.Box) {
	idx := make([]int, 0, len(g))
	for j, v := range g {
		lo, hi := box.At(j)
		if v == 0 || (v > 0 && y[j] <= lo) || (v < 0 && y[j] >= hi) {
			continue
		}
		idx = append(idx, j)
	}
	keep := max(1, int(math.Round((1-a.Quantile)*float64(len(g)))))
	slices.SortStableFunc(idx, func(i, j int) int { return cmp.Compare(abs(g[j]), abs(g[i])) })
	idx = idx[:min(keep, len(idx))]
	step := make([]float32, len(idx))
	for k, j := range idx {
		step[k] = -sign(g[j]) / float32(len(idx))
	}
	clear(g)
	for k, j := range idx {
		g[j] = step[k]
	}
}

// search is the foolbox2 dialect: per row, double eps until the attack
// succeeds, then bisect, BinarySearch radii in all.
func (a *SLIDE) search(ctx context.Context, p *attack.Probe, x *tensor.Tensor, b attack.Budget) (*tensor.Tensor, error) {
	n := x.N()
	best := x.Clone()
	eps, good, bad := make([]float64, n), make([]float64, n), make([]float64, n)
	rows := make([]int, 0, n)
	s, err := p.Loss(ctx, attack.All(n), x)
	if err != nil {
		return nil, err
	}
	for i := range n {
		eps[i], good[i] = a.Eps, math.Inf(1)
		if !s.Done[i] {
			rows = append(rows, i)
		}
	}
	for range max(1, a.BinarySearch) {
		if len(rows) == 0 {
			break
		}
		y, done, err := a.iterate(ctx, p, x, rows, eps, b)
		if err != nil {
			return nil, err
		}
		for k, i := range rows {
			if done[k] {
				good[i] = eps[i]
				copy(best.Row(i), y.Row(k))
			} else {
				bad[i] = eps[i]
				if math.IsInf(good[i], 1) && a.BinarySearch == 0 {
					copy(best.Row(i), y.Row(k))
				}
			}
			if math.IsInf(good[i], 1) {
				eps[i] *= 2
			} else {
				eps[i] = (good[i] + bad[i]) / 2
			}
		}
	}
	return best, nil
}

// iterate makes Steps steps at each row's radius and returns the first
// iterate that succeeds, else the last one.
func (a *SLIDE) iterate(ctx context.Context, p *attack.Probe, x *tensor.Tensor, rows []int, eps []float64, b attack.Budget) (*tensor.Tensor, []bool, error) {
	y := x.Gather(rows)
	done := make([]bool, len(rows))
	active := slices.DeleteFunc(attack.All(len(rows)), func(j int) bool { return !p.Affords(rows[j], 1) })
	width := reach(attack.Budget{Norm: attack.L1, Box: b.Box}, x.Stride()) / float64(x.Stride()) // mean width of the box
	for step := 0; step <= a.Steps && len(active) > 0; step++ {
		ids := make([]int, len(active))
		for k, j := range active {
			ids[k] = rows[j]
		}
		s, err := p.Gradient(ctx, ids, y.Gather(active))
		if err != nil {
			return nil, nil, err
		}
		var left []int
		for k, j := range active {
			if done[j] = s.Done[k]; done[j] || step == a.Steps || !p.Affords(rows[j], 1) {
				continue
			}
			left = append(left, j)
			g, r := s.Grad.Row(k), rows[j]
			percentileSign(g, a.Quantile)
			walk(y.Row(j), y.Row(j), g, a.Step*eps[r]*width)
			radial(y.Row(j), x.Row(r), eps[r]*width)
			b.Box.Clip(y.Row(j))
		}
		active = left
	}
	return y, done, nil
}

// percentileSign keeps the sign of entries above the percentile of their
// magnitudes, scaled to a mean magnitude of 1, against the gradient.
func percentileSign(g []float32, q float64) {
	mags := make([]float64, len(g))
	for j, v := range g {
		mags[j] = math.Abs(float64(v))
	}
	slices.Sort(mags)
	h := q * float64(len(mags)-1)
	k := int(h)
	cut := mags[k]
	if k+1 < len(mags) {
		cut += (h - float64(k)) * (mags[k+1] - mags[k])
	}
	kept := 0
	for j, v := range g {
		if math.Abs(float64(v)) <= cut {
			g[j] = 0
		} else {
			g[j] = -sign(v)
			kept++
		}
	}
	scale(g, float64(len(g))/float64(max(kept, 1)))
}

// radial shortens the perturbation to a mean absolute change of at most mean.
func radial(y, x []float32, mean float64) {
	size := attack.L1.Distance(x, y) / float64(len(x))
	if size <= mean {
		return
	}
	f := mean / size
	for j, v := range x {
		y[j] = float32(float64(v) + float64(f*(float64(y[j])-float64(v))))
	}
}
