package dataset

import "math"

// Deviations are the standard deviations of the features over the rows of x, which it
// goes over twice.
func Deviations(x Examples) ([]float64, error) {
	d, n := x.Example().Size(), float64(max(x.N(), 1))
	mean, out := make([]float64, d), make([]float64, d)
	for row, err := range Each(x) {
		if err != nil {
			return nil, err
		}
		for j, v := range row {
			mean[j] += float64(v) / n
		}
	}
	for row, err := range Each(x) {
		if err != nil {
			return nil, err
		}
		for j, v := range row {
			e := float64(v) - mean[j]
			out[j] += float64(e*e) / n
		}
	}
	for j, v := range out {
		out[j] = math.Sqrt(v)
	}
	return out, nil
}
