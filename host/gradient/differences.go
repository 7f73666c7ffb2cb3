package gradient

import (
	"context"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// probe is the scratch of gradients from queries.
type probe struct {
	x   *tensor.Tensor // rows to ask, up and down in turns
	at  []int          // whose row each pair is
	dl  []float64
	acc []float64
	dir []float32
}

// probePairs is how many pairs are asked in one call.
const probePairs = 512

// defaultPairs is Options.Pairs where none are given.
const defaultPairs = 64

func (p *probe) plan(example tensor.Shape, classes int) {
	if p.x == nil {
		p.x = tensor.Batch(2*probePairs, example)
		p.at = make([]int, probePairs)
		p.dl = make([]float64, classes)
		p.acc = make([]float64, example.Size())
		p.dir = make([]float32, probePairs*example.Size())
	}
}

// differences are central ones: ∂/∂x_j ≈ (f(x + h·e_j) − f(x − h·e_j))/2h for
// f = Σ dl·logits, h a share of the feature's range. It costs 2·D rows per row;
// rows without cotangent cost none.
func (s *Source) differences(ctx context.Context, x, y, dy *tensor.Tensor) (*tensor.Tensor, error) {
	p, d := &s.probe, x.Stride()
	p.plan(x.Example(), y.Stride())
	dx := tensor.Batch(x.N(), x.Example())
	live := s.live(y, dy)
	total := len(live) * d
	for lo := 0; lo < total; lo += probePairs {
		n := min(probePairs, total-lo)
		for k := range n {
			row, j := x.Row(live[(lo+k)/d]), (lo+k)%d
			up, down := p.x.Row(2*k), p.x.Row(2*k+1)
			copy(up, row)
			copy(down, row)
			h := float32(s.report.Step) * s.f.spread[j]
			up[j], down[j] = s.f.clip(row[j]+h, row[j], j), s.f.clip(row[j]-h, row[j], j)
		}
		z, err := s.ask(ctx, p.x.Rows(0, 2*n), &s.report.Queries.Gradients)
		if err != nil {
			return nil, err
		}
		for k := range n {
			i, j := live[(lo+k)/d], (lo+k)%d
			width := float64(p.x.Row(2 * k)[j]) - float64(p.x.Row(2*k + 1)[j])
			if width == 0 {
				continue
			}
			atLogs(p.dl, y.Row(i), dy.Row(i), s.info.Output)
			dx.Row(i)[j] = float32(along(p.dl, z.Row(2*k), z.Row(2*k+1), s.info.Output, s.floor) / width)
		}
	}
	return dx, nil
}

// live are the rows with a cotangent.
func (s *Source) live(y, dy *tensor.Tensor) []int {
	rows := make([]int, 0, y.N())
	for i := range y.N() {
		if atLogs(s.probe.dl, y.Row(i), dy.Row(i), s.info.Output) {
			rows = append(rows, i)
		}
	}
	return rows
}

// nes is the gradient from antithetic pairs of random directions: the mean of
// u·(f(x + σ·u) − f(x − σ·u))/2σ over u ~ N(0, I), in units of the features'
// ranges (Wierstra et al. 2014; as an attack Ilyas et al. 2018,
// arXiv:1804.08598). Its cosine with the gradient is √(n/(n+D)) for n pairs.
// The directions are keyed by seed and row, so that a row's gradient does not
// depend on the batch, nor on what was asked before.
func (s *Source) nes(ctx context.Context, x, y, dy *tensor.Tensor) (*tensor.Tensor, error) {
	p, d, pairs := &s.probe, x.Stride(), s.report.Pairs
	p.plan(x.Example(), y.Stride())
	dx := tensor.Batch(x.N(), x.Example())
	live := s.live(y, dy)
	total := len(live) * pairs
	sigma := s.report.Step
	clear(p.acc)
	for lo := 0; lo < total; lo += probePairs {
		n := min(probePairs, total-lo)
		for k := range n {
			row, pair := x.Row(live[(lo+k)/pairs]), (lo+k)%pairs
			dir := p.dir[k*d:][:d]
			s.k.Normal(dir, kernel.Key{Seed: s.o.Seed ^ hashRow(row), Stream: streamPairs}, uint64(pair)*uint64(d))
			up, down := p.x.Row(2*k), p.x.Row(2*k+1)
			for j, u := range dir {
				h := float32(float32(sigma)*s.f.spread[j]) * u
				up[j], down[j] = s.f.clip(row[j]+h, row[j], j), s.f.clip(row[j]-h, row[j], j)
			}
		}
		z, err := s.ask(ctx, p.x.Rows(0, 2*n), &s.report.Queries.Gradients)
		if err != nil {
			return nil, err
		}
		for k := range n {
			i, pair := live[(lo+k)/pairs], (lo+k)%pairs
			atLogs(p.dl, y.Row(i), dy.Row(i), s.info.Output)
			f := along(p.dl, z.Row(2*k), z.Row(2*k+1), s.info.Output, s.floor) / (2 * sigma)
			for j, u := range p.dir[k*d:][:d] {
				p.acc[j] += f * float64(u)
			}
			if pair == pairs-1 {
				out := dx.Row(i)
				for j, a := range p.acc {
					out[j] = float32(a / float64(pairs) / float64(s.f.spread[j]))
				}
				clear(p.acc)
			}
		}
	}
	return dx, nil
}

// Cosine is the expected cosine of NES with n pairs in d dimensions.
func Cosine(n, d int) float64 { return math.Sqrt(float64(n) / float64(n+d)) }

// steps are the candidates for Options.Step, smallest first.
var steps = []float64{1e-3, 4e-3, 1.6e-2, 6.4e-2, 0.128}

// findStep settles step and floor: the least step at which at least half as
// many changes of a single feature reach the answer as at the largest, on a
// few training rows. A smooth model takes the first; a forest is constant in
// small neighbourhoods and needs a larger one. Where a model gives
// probabilities of 0, logarithms are taken of p + floor, half the least
// probability seen.
func (s *Source) findStep(ctx context.Context) error {
	const rows, features = 16, 16
	p, d := &s.probe, s.o.Train.Example().Size()
	p.plan(s.o.Train.Example(), s.info.NumClasses)
	n := min(rows, s.o.Train.N())
	at := make([]int, n)
	for i := range at {
		at[i] = i * (s.o.Train.N() / n)
	}
	x, err := dataset.Take(s.o.Train, at)
	if err != nil {
		return fmt.Errorf("data.train: %w", err)
	}
	per := min(features, d)
	changed := make([]int, len(steps))
	var seen []float32
	candidates := steps
	if s.o.Differences.Step > 0 {
		candidates = []float64{s.o.Differences.Step}
	}
	for c, step := range candidates {
		for k := range n * per {
			row := x.Row(k / per)
			j := (k%per*d/per + k/per*7) % d
			up, down := p.x.Row(2*k), p.x.Row(2*k+1)
			copy(up, row)
			copy(down, row)
			h := float32(step) * s.f.spread[j]
			up[j], down[j] = s.f.clip(row[j]+h, row[j], j), s.f.clip(row[j]-h, row[j], j)
		}
		z, err := s.ask(ctx, p.x.Rows(0, 2*n*per), &s.report.Queries.Gradients)
		if err != nil {
			return err
		}
		for k := range n * per {
			for i, v := range z.Row(2 * k) {
				if v != z.Row(2*k + 1)[i] {
					changed[c]++
					break
				}
			}
		}
		seen = append(seen, z.Data...)
	}
	s.report.Step = candidates[len(candidates)-1]
	for c, step := range candidates {
		if changed[len(candidates)-1] > 0 && 2*changed[c] >= changed[len(candidates)-1] {
			s.report.Step = step
			break
		}
	}
	s.floor = floorOf(s.info.Output, seen)
	return nil
}
