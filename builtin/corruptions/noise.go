package corruptions

import (
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// GaussianNoise adds normal noise of standard deviation .04, .06, .08, .09, .10.
type GaussianNoise struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *GaussianNoise) Levels() []int { return levels(c.Severity) }

// Corrupt implements evaluate.Corruption.
func (c *GaussianNoise) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, r *rand.Rand) error {
	sigma := [...]float64{.04, .06, .08, .09, .10}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) {
		for j := range p.v {
			p.v[j] += sigma * r.NormFloat64()
		}
	})
}

// ShotNoise draws each value from a Poisson distribution of 500, 250, 100, 75,
// 50 photons at full brightness.
type ShotNoise struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *ShotNoise) Levels() []int { return levels(c.Severity) }

// Corrupt implements evaluate.Corruption.
func (c *ShotNoise) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, r *rand.Rand) error {
	photons := [...]float64{500, 250, 100, 75, 50}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) {
		for j, v := range p.v {
			p.v[j] = poisson(max(v, 0)*photons, r) / photons
		}
	})
}

// ImpulseNoise sets the share .01, .02, .03, .05, .07 of the features to one end
// of the range or the other.
type ImpulseNoise struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *ImpulseNoise) Levels() []int { return levels(c.Severity) }

// Corrupt implements evaluate.Corruption.
func (c *ImpulseNoise) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, r *rand.Rand) error {
	share := [...]float64{.01, .02, .03, .05, .07}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) {
		for j := range p.v {
			if r.Float64() < share {
				p.v[j] = float64(r.IntN(2))
			}
		}
	})
}

// SpeckleNoise multiplies by 1 + noise of standard deviation .06, .10, .12, .16,
// .20.
type SpeckleNoise struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *SpeckleNoise) Levels() []int { return levels(c.Severity) }

// Corrupt implements evaluate.Corruption.
func (c *SpeckleNoise) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, r *rand.Rand) error {
	sigma := [...]float64{.06, .10, .12, .16, .20}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) {
		for j, v := range p.v {
			p.v[j] += sigma * v * r.NormFloat64()
		}
	})
}

// poisson draws from the Poisson distribution: by Knuth's product for small
// means, by parts for larger ones (a sum of Poisson variables is one).
func poisson(mean float64, r *rand.Rand) float64 {
	n := 0.0
	for mean > 0 {
		part := min(mean, 30)
		mean -= part
		limit := math.Exp(-part)
		for p := r.Float64(); p > limit; p *= r.Float64() {
			n++
		}
	}
	return n
}
