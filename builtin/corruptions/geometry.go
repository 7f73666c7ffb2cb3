package corruptions

import (
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Rotate turns the image about its centre by up to ±10, 20, 30, 45, 60 degrees
// (at least half of that), outside is 0.
type Rotate struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *Rotate) Levels() []int { return levels(c.Severity) }

// Fits implements evaluate.Choosy.
func (c *Rotate) Fits(s tensor.Shape) error { return needImage("rotate", s) }

// Corrupt implements evaluate.Corruption.
func (c *Rotate) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, r *rand.Rand) error {
	if err := c.Fits(s); err != nil {
		return err
	}
	angle := [...]float64{10, 20, 30, 45, 60}[severity-1] * math.Pi / 180 * between(r)
	sin, cos := math.Sincos(angle)
	return apply(dst, x, s, box, func(p *canvas) { p.affine(cos, -sin, sin, cos, 0, 0) })
}

// Shear moves rows sideways by up to ±.1, .2, .3, .4, .6 of their distance to
// the middle (at least half of that), outside is 0.
type Shear struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *Shear) Levels() []int { return levels(c.Severity) }

// Fits implements evaluate.Choosy.
func (c *Shear) Fits(s tensor.Shape) error { return needImage("shear", s) }

// Corrupt implements evaluate.Corruption.
func (c *Shear) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, r *rand.Rand) error {
	if err := c.Fits(s); err != nil {
		return err
	}
	by := [...]float64{.1, .2, .3, .4, .6}[severity-1] * between(r)
	return apply(dst, x, s, box, func(p *canvas) { p.affine(1, 0, by, 1, 0, 0) })
}

// Translate moves the image by up to 4, 7, 11, 14, 18 % of its size (at least
// half of that) along each axis, outside is 0.
type Translate struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *Translate) Levels() []int { return levels(c.Severity) }

// Fits implements evaluate.Choosy.
func (c *Translate) Fits(s tensor.Shape) error { return needImage("translate", s) }

// Corrupt implements evaluate.Corruption.
func (c *Translate) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, r *rand.Rand) error {
	if err := c.Fits(s); err != nil {
		return err
	}
	by := [...]float64{.04, .07, .11, .14, .18}[severity-1]
	dy, dx := by*between(r), by*between(r)
	return apply(dst, x, s, box, func(p *canvas) { p.affine(1, 0, 0, 1, dy*float64(p.h), dx*float64(p.w)) })
}

// Elastic moves each pixel by a smooth random field (Simard et al. 2003): noise
// blurred by .08 of the size, of at most 2, 3, 4, 6, 8 % of the size.
type Elastic struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *Elastic) Levels() []int { return levels(c.Severity) }

// Fits implements evaluate.Choosy.
func (c *Elastic) Fits(s tensor.Shape) error { return needImage("elastic", s) }

// Corrupt implements evaluate.Corruption.
func (c *Elastic) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, r *rand.Rand) error {
	if err := c.Fits(s); err != nil {
		return err
	}
	by := [...]float64{.02, .03, .04, .06, .08}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) {
		dy, dx := p.field(r), p.field(r)
		p.sample(func(i, j int) (float64, float64) {
			return float64(i) + by*float64(p.h)*dy[i*p.w+j], float64(j) + by*float64(p.w)*dx[i*p.w+j]
		})
	})
}

// between is a random factor of either sign, half to one in size.
func between(r *rand.Rand) float64 {
	f := 0.5 + r.Float64()/2
	if r.IntN(2) == 0 {
		return -f
	}
	return f
}

// field is smooth noise with a largest magnitude of 1.
func (p *canvas) field(r *rand.Rand) []float64 {
	f := &canvas{h: p.h, w: p.w, c: 1}
	v := make([]float64, p.h*p.w)
	for j := range v {
		v[j] = 2*r.Float64() - 1
	}
	v = f.blur(v, max(0.08*float64(max(p.h, p.w)), 0.5))
	top := 1e-12
	for _, e := range v {
		top = max(top, math.Abs(e))
	}
	for j := range v {
		v[j] /= top
	}
	return v
}

// affine takes the pixel at (i, j) from A·((i, j) − centre − (dy, dx)) + centre.
func (p *canvas) affine(a, b, c, d, dy, dx float64) {
	cy, cx := float64(p.h-1)/2, float64(p.w-1)/2
	p.sample(func(i, j int) (float64, float64) {
		y, x := float64(i)-cy-dy, float64(j)-cx-dx
		return a*y + b*x + cy, c*y + d*x + cx
	})
}

// sample rebuilds the image from bilinear samples at the given places.
func (p *canvas) sample(from func(i, j int) (y, x float64)) {
	old := p.v
	p.v = make([]float64, len(old))
	for i := range p.h {
		for j := range p.w {
			y, x := from(i, j)
			fy, fx := math.Floor(y), math.Floor(x)
			ty, tx := y-fy, x-fx
			for k := range p.c {
				at := func(di, dj int) float64 { return p.at(old, int(fy)+di, int(fx)+dj, k) }
				p.v[(i*p.w+j)*p.c+k] = (1-ty)*((1-tx)*at(0, 0)+tx*at(0, 1)) + ty*((1-tx)*at(1, 0)+tx*at(1, 1))
			}
		}
	}
}
