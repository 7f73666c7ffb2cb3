package losses

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/train"
)

// ELBO is −log N(x; x', Σ) alone, the reconstruction part of a variational
// auto-encoder's bound; detector.beta adds the latent part.
type ELBO struct {
	CovELBO Covariance `yaml:"cov_elbo" doc:"covariance: {sim: σ}, {cov_diag: {floor: σ}} or {cov_full: {shrinkage: s}}; null: none"`
}

// MSE is the mean of (x − x')² over rows and features.
type MSE struct{}

// BCE is the mean of −x·ln x' − (1 − x)·ln(1 − x') over rows and features,
// with x' kept in [ε, 1 − ε] as Keras does.
type BCE struct{}

var (
	_ train.Loss = (*ELBO)(nil)
	_ train.Loss = (*MSE)(nil)
	_ train.Loss = (*BCE)(nil)
)

// Make implements train.Loss.
func (e *ELBO) Make(s train.Setup) (train.Objective, error) {
	g, err := e.CovELBO.fit(s)
	if err != nil {
		return nil, err
	}
	return elbo{g, s.SumELBO}, nil
}

// Make implements train.Loss.
func (*MSE) Make(train.Setup) (train.Objective, error) { return mse{}, nil }

// Make implements train.Loss. Every feature of the training rows must lie in
// [0, 1] in the model's units.
func (*BCE) Make(s train.Setup) (train.Objective, error) {
	const slack = 1e-5 // of float32
	i := 0
	for row, err := range dataset.Each(s.X) {
		if err != nil {
			return nil, fmt.Errorf("data.train: %w", err)
		}
		for j, unit := range row {
			if s.Scale != nil {
				unit = (unit - s.Offset[j]) / s.Scale[j]
			}
			if !(unit >= -slack && unit <= 1+slack) {
				return nil, fmt.Errorf("bce wants features in [0, 1], row %d has %v at feature %d; use vae.normalize: minmax, or mse", i, unit, j)
			}
		}
		i++
	}
	return bce{}, nil
}

type elbo struct {
	g   *gaussian
	sum bool
}

// UsesClassifier implements train.Objective.
func (elbo) UsesClassifier() bool { return false }

// Loss implements train.Objective.
func (e elbo) Loss(s *train.Step) float64 { return e.g.loss(s, elboScale(e.sum, s)) }

type mse struct{}

// UsesClassifier implements train.Objective.
func (mse) UsesClassifier() bool { return false }

// Loss implements train.Objective.
func (mse) Loss(s *train.Step) float64 {
	squaredErrorGrad(s, 1)
	value, _ := squaredError(s)
	return value
}

// squaredError is the weighted mean of the squared error, in the model's
// units, and its standard deviation over all elements.
func squaredError(s *train.Step) (mean, deviation float64) {
	d := s.UnitX.Stride()
	all, squares := 0.0, 0.0
	for i := range s.N() {
		row := 0.0
		y := s.UnitRebuilt.Row(i)
		for j, v := range s.UnitX.Row(i) {
			t := float64(v) - float64(y[j])
			row += t * t
			squares += t * t * t * t
		}
		mean += s.Weight(i) * row / float64(d)
		all += row
	}
	n := float64(s.N() * d)
	return mean, math.Sqrt(max(squares/n-(all/n)*(all/n), 0))
}

// squaredErrorGrad adds factor times the gradient of squaredError's mean.
func squaredErrorGrad(s *train.Step, factor float64) {
	if s.DUnitRebuilt == nil {
		return
	}
	d := s.UnitX.Stride()
	for i := range s.N() {
		w := 2 * factor * s.Weight(i) / float64(d)
		x, y, dy := s.UnitX.Row(i), s.UnitRebuilt.Row(i), s.DUnitRebuilt.Row(i)
		for j := range dy {
			dy[j] += float32(w * (float64(y[j]) - float64(x[j])))
		}
	}
}

type bce struct{}

// bceFloor is Keras's epsilon.
const bceFloor = 1e-7

// UsesClassifier implements train.Objective.
func (bce) UsesClassifier() bool { return false }

// Loss implements train.Objective.
func (bce) Loss(s *train.Step) float64 {
	d := s.UnitX.Stride()
	total := 0.0
	for i := range s.N() {
		w := s.Weight(i) / float64(d)
		y := s.UnitRebuilt.Row(i)
		for j, v := range s.UnitX.Row(i) {
			x, q := float64(v), min(max(float64(y[j]), bceFloor), 1-bceFloor)
			total -= w * (x*math.Log(q) + (1-x)*math.Log1p(-q))
			if s.DUnitRebuilt != nil && q == float64(y[j]) {
				s.DUnitRebuilt.Data[i*d+j] += float32(w * (q - x) / (q * (1 - q)))
			}
		}
	}
	return total
}
