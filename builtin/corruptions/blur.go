package corruptions

import (
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Blur is a Gaussian blur of standard deviation .4, .6, .7, .8, 1 pixels, the
// border repeated.
type Blur struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *Blur) Levels() []int { return levels(c.Severity) }

// Fits implements evaluate.Choosy.
func (c *Blur) Fits(s tensor.Shape) error { return needImage("blur", s) }

// Corrupt implements evaluate.Corruption.
func (c *Blur) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, _ *rand.Rand) error {
	if err := c.Fits(s); err != nil {
		return err
	}
	sigma := [...]float64{.4, .6, .7, .8, 1}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) { p.v = p.blur(p.v, sigma) })
}

// Pixelate averages the image down to .95, .9, .85, .75, .65 of its size and
// repeats pixels on the way back.
type Pixelate struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *Pixelate) Levels() []int { return levels(c.Severity) }

// Fits implements evaluate.Choosy.
func (c *Pixelate) Fits(s tensor.Shape) error { return needImage("pixelate", s) }

// Corrupt implements evaluate.Corruption.
func (c *Pixelate) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, _ *rand.Rand) error {
	if err := c.Fits(s); err != nil {
		return err
	}
	scale := [...]float64{.95, .9, .85, .75, .65}[severity-1]
	return apply(dst, x, s, box, func(p *canvas) {
		h, w := max(1, int(scale*float64(p.h))), max(1, int(scale*float64(p.w)))
		small := make([]float64, h*w*p.c)
		for i := range h {
			for j := range w {
				for k := range p.c {
					small[(i*w+j)*p.c+k] = p.mean(float64(i)/float64(h), float64(i+1)/float64(h), float64(j)/float64(w), float64(j+1)/float64(w), k)
				}
			}
		}
		for i := range p.h {
			for j := range p.w {
				for k := range p.c {
					p.v[(i*p.w+j)*p.c+k] = small[(min(i*h/p.h, h-1)*w+min(j*w/p.w, w-1))*p.c+k]
				}
			}
		}
	})
}

// mean is the mean of the pixels of channel k in a rectangle given in shares
// of height and width, border pixels by the part inside.
func (p *canvas) mean(top, bottom, left, right float64, k int) float64 {
	sum, area := 0.0, 0.0
	t, b, l, r := top*float64(p.h), bottom*float64(p.h), left*float64(p.w), right*float64(p.w)
	for i := int(t); float64(i) < b-1e-9 && i < p.h; i++ {
		for j := int(l); float64(j) < r-1e-9 && j < p.w; j++ {
			a := (min(b, float64(i+1)) - max(t, float64(i))) * (min(r, float64(j+1)) - max(l, float64(j)))
			sum += a * p.v[(i*p.w+j)*p.c+k]
			area += a
		}
	}
	return sum / max(area, 1e-12)
}

// blur convolves each channel with a Gaussian, cut at four standard
// deviations, rows then columns.
func (p *canvas) blur(v []float64, sigma float64) []float64 {
	radius := int(4*sigma + 0.5)
	kernel, sum := make([]float64, 2*radius+1), 0.0
	for t := range kernel {
		d := float64(t - radius)
		kernel[t] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += kernel[t]
	}
	pass := func(v []float64, down, across int) []float64 {
		out := make([]float64, len(v))
		for i := range p.h {
			for j := range p.w {
				for k := range p.c {
					s := 0.0
					for t, f := range kernel {
						ii := min(max(i+(t-radius)*down, 0), p.h-1)
						jj := min(max(j+(t-radius)*across, 0), p.w-1)
						s += f / sum * v[(ii*p.w+jj)*p.c+k]
					}
					out[(i*p.w+j)*p.c+k] = s
				}
			}
		}
		return out
	}
	return pass(pass(v, 0, 1), 1, 0)
}
