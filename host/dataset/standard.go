package dataset

import (
	"math"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Standard standardises features: (x − Mean) / Std, element by element of an
// example. Std is positive.
type Standard struct {
	Mean, Std []float32
}

// Standardize fits the mean and the population deviation of every feature. A
// constant feature has deviation 1: it becomes 0.
func Standardize(fit *Data) Standard {
	n, d := fit.X.N(), fit.X.Stride()
	if n == 0 {
		panic("dataset: standardize without rows")
	}
	sum := make([]float64, d)
	for i := range n {
		for j, v := range fit.X.Row(i) {
			sum[j] += float64(v)
		}
	}
	square := make([]float64, d)
	for j := range sum {
		sum[j] /= float64(n)
	}
	for i := range n {
		for j, v := range fit.X.Row(i) {
			e := float64(v) - sum[j]
			square[j] += float64(e * e)
		}
	}
	s := Standard{Mean: make([]float32, d), Std: make([]float32, d)}
	for j := range sum {
		s.Mean[j] = float32(sum[j])
		s.Std[j] = float32(math.Sqrt(square[j] / float64(n)))
		// Rounding leaves a trace of a deviation where all values are equal.
		if float64(s.Std[j]) <= 1e-7*math.Abs(sum[j]) {
			s.Std[j] = 1
		}
	}
	return s
}

// Apply standardises x (N, example…) in place.
func (s Standard) Apply(x *tensor.Tensor) {
	if x.Stride() != len(s.Mean) {
		panic("dataset: standardize: other number of features")
	}
	for i := range x.N() {
		row := x.Row(i)
		for j, v := range row {
			row[j] = (v - s.Mean[j]) / s.Std[j]
		}
	}
}
