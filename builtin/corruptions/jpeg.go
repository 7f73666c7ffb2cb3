package corruptions

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// JPEG compresses with quality 80, 65, 58, 50, 40 and decompresses. Images
// have one channel (grey) or three (RGB).
type JPEG struct {
	Severity int `yaml:"severity" check:">= 0, <= 5" doc:"1 (mild) to 5 (strong); 0: all five"`
}

// Levels implements evaluate.Corruption.
func (c *JPEG) Levels() []int { return levels(c.Severity) }

// Fits implements evaluate.Choosy.
func (c *JPEG) Fits(s tensor.Shape) error {
	if err := needImage("jpeg", s); err != nil {
		return err
	}
	if len(s) == 3 && s[2] != 1 && s[2] != 3 {
		return fmt.Errorf("corruption jpeg needs 1 or 3 channels, and an example is %v", s)
	}
	return nil
}

// Corrupt implements evaluate.Corruption.
func (c *JPEG) Corrupt(dst, x []float32, s tensor.Shape, box attack.Box, severity int, _ *rand.Rand) error {
	if err := c.Fits(s); err != nil {
		return err
	}
	quality := [...]int{80, 65, 58, 50, 40}[severity-1]
	var failed error
	err := apply(dst, x, s, box, func(p *canvas) { failed = p.compress(quality) })
	if failed != nil {
		return failed
	}
	return err
}

func (p *canvas) compress(quality int) error {
	level := func(v float64) byte { return byte(min(max(v, 0), 1)*255 + 0.5) }
	bounds := image.Rect(0, 0, p.w, p.h)
	var img image.Image
	if p.c == 1 {
		grey := image.NewGray(bounds)
		for j, v := range p.v {
			grey.Pix[j/p.w*grey.Stride+j%p.w] = level(v)
		}
		img = grey
	} else {
		rgb := image.NewRGBA(bounds)
		for i := range p.h {
			for j := range p.w {
				at := (i*p.w + j) * 3
				rgb.SetRGBA(j, i, color.RGBA{level(p.v[at]), level(p.v[at+1]), level(p.v[at+2]), 255})
			}
		}
		img = rgb
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		return fmt.Errorf("corruption jpeg: %w", err)
	}
	got, err := jpeg.Decode(&b)
	if err != nil {
		return fmt.Errorf("corruption jpeg: %w", err)
	}
	for i := range p.h {
		for j := range p.w {
			r, g, b, _ := got.At(j, i).RGBA()
			for k, v := range []uint32{r, g, b}[:p.c] {
				p.v[(i*p.w+j)*p.c+k] = float64(v) / 65535
			}
		}
	}
	return nil
}
