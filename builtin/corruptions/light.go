package corruptions

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Brightness adds .05, .1, .15, .2, .3.
type Brightness struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *Brightness) Levels() []int { return levels(c.Severity) }

// Corrupt implements evaluate.Corruption.
func (c *Brightness) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, _ *rand.Rand) error {
	add := [...]float64{.05, .1, .15, .2, .3}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) {
		for j := range p.v {
			p.v[j] += add
		}
	})
}

// Contrast leaves .75, .5, .4, .3, .15 of the difference to the channel's mean.
type Contrast struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *Contrast) Levels() []int { return levels(c.Severity) }

// Corrupt implements evaluate.Corruption.
func (c *Contrast) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, _ *rand.Rand) error {
	keep := [...]float64{.75, .5, .4, .3, .15}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) {
		mean, n := make([]float64, p.c), float64(p.h*p.w)
		for j, v := range p.v {
			mean[j%p.c] += v / n
		}
		for j, v := range p.v {
			p.v[j] = mean[j%p.c] + keep*(v-mean[j%p.c])
		}
	})
}
