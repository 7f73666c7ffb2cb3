package attacks

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// DeepFool walks to the nearest of the linearised boundaries to the other
// classes, and again from there, until the class changes (Moosavi-Dezfooli et
// al. 2016, arXiv:1511.04599). On a linear model one step is exact.
type DeepFool struct {
	attack.Unit
	Norm       string  `yaml:"norm" enum:"l2|linf" doc:"norm of the ball"`
	Eps        float64 `yaml:"eps" check:">= 0" doc:"radius, in the input's units; 0: the smallest perturbation, however large"`
	Steps      int     `yaml:"steps" check:">= 1" doc:"linearisations"`
	Overshoot  float64 `yaml:"overshoot" check:">= 0" doc:"fraction by which each perturbation is extended"`
	Candidates int     `yaml:"candidates" check:">= 2" doc:"most likely classes considered"`
}

var (
	_ attack.Attack  = (*DeepFool)(nil)
	_ attack.Chooser = (*DeepFool)(nil)
)

// Ball implements attack.Attack.
func (a *DeepFool) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *DeepFool) Needs() attack.Need { return attack.NeedsGradients }

// Objective implements attack.Chooser: there is no targeted form.
func (a *DeepFool) Objective(g attack.Goal) (attack.Objective, error) {
	if g.Targeted {
		return nil, errors.New("deepfool has no targeted form; use cw or pgd")
	}
	return g.CrossEntropy(), nil
}

// Perturb implements attack.Attack.
func (a *DeepFool) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	info, err := m.Info(ctx)
	if err != nil {
		return nil, err
	}
	n, d := x.N(), x.Stride()
	y, total := x.Clone(), make([]float64, n*d)
	order := make([][]int, n) // classes by their output on x, the predicted one first
	p := attack.NewProbe(m, n, o, b)
	rows := attack.All(n)
	for step := 0; step <= a.Steps && len(rows) > 0; step++ {
		s, err := p.Loss(ctx, rows, y.Gather(rows))
		if err != nil {
			return nil, err
		}
		z := s.Outputs[sdk.Output]
		var at, left []int
		for k, i := range rows {
			if order[i] == nil {
				order[i] = ranked(z.Row(k))
				order[i] = order[i][:min(a.Candidates, len(order[i]))]
			}
			if !s.Done[k] && p.Affords(i, 1) {
				at, left = append(at, k), append(left, i)
			}
		}
		if step == a.Steps || len(left) == 0 {
			break
		}
		moves, err := a.nearest(ctx, p, s, rows, order, info.Output, b.Norm)
		if err != nil {
			return nil, err
		}
		for j, i := range left {
			sum := total[i*d : (i+1)*d]
			for f, v := range moves[at[j]] {
				sum[f] += v
				y.Row(i)[f] = float32(float64(x.Row(i)[f]) + (1+a.Overshoot)*sum[f])
			}
			b.Box.Clip(y.Row(i))
		}
		rows = left
	}
	return y, nil
}

func ranked(z []float32) []int {
	idx := attack.All(len(z))
	slices.SortStableFunc(idx, func(i, j int) int {
		switch {
		case z[i] > z[j]:
			return -1
		case z[i] < z[j]:
			return 1
		}
		return 0
	})
	return idx
}

// nearest is, for each row of the sample, the shortest step to a linearised
// boundary: |f|/‖w‖² · w (L2) or |f|/‖w‖₁ · sign w (L∞), with f the
// difference of a class to the predicted one and w its gradient.
func (a *DeepFool) nearest(ctx context.Context, p *attack.Probe, s attack.Sample, rows []int, order [][]int, kind sdk.OutputKind, norm attack.Norm) ([][]float64, error) {
	z := s.Outputs[sdk.Output]
	moves, length := make([][]float64, len(rows)), make([]float64, len(rows))
	for c := 1; c < min(a.Candidates, z.Stride()); c++ {
		cot := tensor.New(z.Shape...)
		for k, i := range rows {
			_, up := oracle.Level(kind, z.Row(k)[order[i][c]])
			_, down := oracle.Level(kind, z.Row(k)[order[i][0]])
			cot.Row(k)[order[i][c]], cot.Row(k)[order[i][0]] = float32(up), float32(-down)
		}
		w, err := p.Pull(ctx, rows, s, map[string]*tensor.Tensor{sdk.Output: cot})
		if err != nil {
			return nil, err
		}
		for k, i := range rows {
			zc, _ := oracle.Level(kind, z.Row(k)[order[i][c]])
			z0, _ := oracle.Level(kind, z.Row(k)[order[i][0]])
			f := math.Abs(zc-z0) + 1e-6
			dual := attack.L2
			if norm == attack.Linf {
				dual = attack.L1
			}
			size := dual.Length(w.Row(k)) + 1e-12
			if dist := f / size; moves[k] == nil || dist < length[k] {
				length[k] = dist
				moves[k] = make([]float64, len(w.Row(k)))
				for j, v := range w.Row(k) {
					if norm == attack.Linf {
						moves[k][j] = dist * float64(sign(v))
					} else {
						moves[k][j] = dist * float64(v) / size
					}
				}
			}
		}
	}
	return moves, nil
}
