package losses

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/train"
)

// maxFull is the most features that cov_full takes: its matrix has their
// square, in float64.
const maxFull = 4096

// maxCondition is the condition number from which a covariance counts as
// singular: float64 would leave three digits of its inverse.
const maxCondition = 1e13

// gaussian is −log N(x; x', Σ) with Σ fixed, in float64.
type gaussian struct {
	d         int
	constant  float64   // ½(D·ln 2π + ln det Σ)
	precision []float64 // 1/σ² of each feature, nil for a full Σ
	full      *mat.Cholesky
	diff, sol *mat.Dense // (D, n), scratch for a full Σ
}

// fit measures Σ on the training rows, in the model's units.
func (c Covariance) fit(s train.Setup) (*gaussian, error) {
	d := s.X.Example().Size()
	g := &gaussian{d: d, constant: float64(d) / 2 * math.Log(2*math.Pi)}
	if c.Form == sim {
		g.diagonal(func(int) float64 { return c.Value })
		return g, nil
	}
	if s.X.N() == 0 {
		return nil, fmt.Errorf("cov_elbo.%s needs training rows", c.Form)
	}
	if c.Form == covFull && d > maxFull {
		return nil, fmt.Errorf("cov_elbo.cov_full takes at most %d features, the data has %d; use cov_diag", maxFull, d)
	}
	scale := func(j int) float64 {
		if s.Scale == nil {
			return 1
		}
		return float64(s.Scale[j])
	}
	mean, std, err := moments(s.X)
	if err != nil {
		return nil, fmt.Errorf("data.train: %w", err)
	}
	if c.Value == 0 {
		if err := constantFeatures(c, std); err != nil {
			return nil, err
		}
	}
	if c.Form == covDiag {
		g.diagonal(func(j int) float64 { return max(std[j]/scale(j), c.Value) })
		return g, nil
	}
	cov, err := scatter(s.X, mean, scale)
	if err != nil {
		return nil, fmt.Errorf("data.train: %w", err)
	}
	return g, g.factor(cov, c.Value)
}

func (g *gaussian) diagonal(std func(j int) float64) {
	g.precision = make([]float64, g.d)
	for j := range g.precision {
		s := std(j)
		g.precision[j] = 1 / (s * s)
		g.constant += math.Log(s)
	}
}

// factor shrinks a covariance towards a multiple of the identity,
// (1−s)Σ + s·(tr Σ/D)·I, and factors it.
func (g *gaussian) factor(cov *mat.SymDense, shrinkage float64) error {
	mean := mat.Trace(cov) / float64(g.d)
	cov.ScaleSym(1-shrinkage, cov)
	for j := range g.d {
		cov.SetSym(j, j, cov.At(j, j)+shrinkage*mean)
	}
	g.full = &mat.Cholesky{}
	if !g.full.Factorize(cov) || g.full.Cond() > maxCondition {
		return fmt.Errorf("cov_elbo.cov_full: the covariance of the training rows is singular (features depend on each other, or there are fewer rows than features); use {cov_full: {shrinkage: 0.1}}")
	}
	g.constant += g.full.LogDet() / 2
	return nil
}

// constantFeatures is an error that counts the features without variance and
// names the first ones.
func constantFeatures(c Covariance, std []float64) error {
	var first []string
	n := 0
	for j, s := range std {
		if s == 0 {
			if n++; n <= 5 {
				first = append(first, strconv.Itoa(j))
			}
		}
	}
	if n == 0 {
		return nil
	}
	list := strings.Join(first, ", ")
	if n > len(first) {
		list += ", …"
	}
	fix := "{cov_diag: {floor: 0.001}}"
	if c.Form == covFull {
		fix = "{cov_full: {shrinkage: 0.1}}"
	}
	return fmt.Errorf("cov_elbo.%s: %d of %d features are constant in the training rows (%s) and have no density; use %s", c.Form, n, len(std), list, fix)
}

// moments are the mean and the biased deviation of each feature. A feature
// that never changes has exactly 0.
func moments(x dataset.Examples) (mean, std []float64, err error) {
	d, n := x.Example().Size(), float64(x.N())
	mean, std = make([]float64, d), make([]float64, d)
	changes := make([]bool, d)
	var first []float32
	for row, err := range dataset.Each(x) {
		if err != nil {
			return nil, nil, err
		}
		if first == nil {
			first = slices.Clone(row)
		}
		for j, v := range row {
			mean[j] += float64(v)
			changes[j] = changes[j] || v != first[j]
		}
	}
	for j := range mean {
		mean[j] /= n
	}
	for row, err := range dataset.Each(x) {
		if err != nil {
			return nil, nil, err
		}
		for j, v := range row {
			t := float64(v) - mean[j]
			std[j] += t * t
		}
	}
	for j := range std {
		std[j] = math.Sqrt(std[j] / n)
		if !changes[j] {
			std[j] = 0
		}
	}
	return mean, std, nil
}

// scatter is the biased covariance, block by block of rows.
func scatter(x dataset.Examples, mean []float64, scale func(int) float64) (*mat.SymDense, error) {
	const block = 512
	d := len(mean)
	cov := mat.NewSymDense(d, nil)
	inverse := make([]float64, d)
	for j := range inverse {
		inverse[j] = 1 / scale(j)
	}
	for rows, err := range dataset.Chunks(x, block) {
		if err != nil {
			return nil, err
		}
		n := rows.N()
		b := mat.NewDense(d, n, nil)
		for i := range n {
			for j, v := range rows.Row(i) {
				b.Set(j, i, (float64(v)-mean[j])*inverse[j])
			}
		}
		cov.SymRankK(cov, 1, b)
	}
	cov.ScaleSym(1/float64(x.N()), cov)
	return cov, nil
}

// loss is Σ_i scale·weight_i·(−log N(x_i; x'_i, Σ)), adding its gradient at
// x' to the step's cotangent.
func (g *gaussian) loss(s *train.Step, scale float64) float64 {
	if g.full != nil {
		return g.fullLoss(s, scale)
	}
	total := 0.0
	for i := range s.N() {
		w, sum := scale*s.Weight(i), 0.0
		x, y := s.UnitX.Row(i), s.UnitRebuilt.Row(i)
		for j, p := range g.precision {
			t := float64(y[j]) - float64(x[j])
			sum += p * t * t
			if s.DUnitRebuilt != nil {
				s.DUnitRebuilt.Data[i*g.d+j] += float32(w * p * t)
			}
		}
		total += w * (g.constant + sum/2)
	}
	return total
}

func (g *gaussian) fullLoss(s *train.Step, scale float64) float64 {
	n := s.N()
	if g.diff == nil || g.diff.RawMatrix().Cols != n {
		g.diff, g.sol = mat.NewDense(g.d, n, nil), mat.NewDense(g.d, n, nil)
	}
	for i := range n {
		x, y := s.UnitX.Row(i), s.UnitRebuilt.Row(i)
		for j := range g.d {
			g.diff.Set(j, i, float64(y[j])-float64(x[j]))
		}
	}
	if err := g.full.SolveTo(g.sol, g.diff); err != nil {
		panic("losses: covariance cannot be solved") // factor has seen to it
	}
	total := 0.0
	for i := range n {
		w, sum := scale*s.Weight(i), 0.0
		for j := range g.d {
			v := g.sol.At(j, i)
			sum += v * g.diff.At(j, i)
			if s.DUnitRebuilt != nil {
				s.DUnitRebuilt.Data[i*g.d+j] += float32(w * v)
			}
		}
		total += w * (g.constant + sum/2)
	}
	return total
}

// elboScale is the factor that turns the batch's mean into what
// train.elbo_reduction asks for.
func elboScale(sum bool, s *train.Step) float64 {
	if sum {
		return float64(s.Examples())
	}
	return 1
}
