// Package corruptions are natural changes of an input, with severities 1 to 5
// by the published definitions of CIFAR-10-C (Hendrycks & Dietterich 2019,
// arXiv:1903.12261) and, for geometry, of MNIST-C (Mu & Gilmer 2019,
// arXiv:1906.02337). Parameters are for a box of [0, 1]; other boxes are mapped
// to it and back. The caller clips.
package corruptions

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Table lists the corruptions by name. severity is an option of every one;
// 0 is all five.
func Table() registry.Table[evaluate.Corruption] {
	entry := func(name, doc string, c evaluate.Corruption) registry.Entry[evaluate.Corruption] {
		return registry.Entry[evaluate.Corruption]{Name: name, Default: c, Doc: doc}
	}
	return registry.NewTable("corruption",
		entry("gaussian_noise", "normal noise on every feature", &GaussianNoise{}),
		entry("shot_noise", "Poisson noise of few photons", &ShotNoise{}),
		entry("impulse_noise", "features at the ends of the range: salt and pepper", &ImpulseNoise{}),
		entry("speckle_noise", "normal noise in proportion to the value", &SpeckleNoise{}),
		entry("blur", "Gaussian blur", &Blur{}),
		entry("brightness", "every feature brighter", &Brightness{}),
		entry("contrast", "less difference to the mean", &Contrast{}),
		entry("pixelate", "fewer pixels", &Pixelate{}),
		entry("jpeg", "JPEG compression", &JPEG{}),
		entry("elastic", "elastic deformation", &Elastic{}),
		entry("rotate", "rotation", &Rotate{}),
		entry("shear", "shear along the rows", &Shear{}),
		entry("translate", "movement", &Translate{}),
	)
}

// levels are the severities that an option stands for.
func levels(severity int) []int {
	if severity == 0 {
		return []int{1, 2, 3, 4, 5}
	}
	return []int{severity}
}

// canvas is an example mapped to [0, 1].
type canvas struct {
	h, w, c int
	v       []float64
	lo, hi  []float32 // of each feature
}

// newCanvas maps x to [0, 1]. A flat example is one row of features.
func newCanvas(x []float32, s tensor.Shape, box attack.Box) *canvas {
	p := &canvas{h: 1, w: len(x), c: 1, v: make([]float64, len(x)), lo: make([]float32, len(x)), hi: make([]float32, len(x))}
	if len(s) >= 2 {
		p.h, p.w = s[0], s[1]
	}
	if len(s) == 3 {
		p.c = s[2]
	}
	for j, v := range x {
		p.lo[j], p.hi[j] = box.At(j)
		if p.hi[j] > p.lo[j] {
			p.v[j] = (float64(v) - float64(p.lo[j])) / (float64(p.hi[j]) - float64(p.lo[j]))
		}
	}
	return p
}

// write maps back to the box.
func (p *canvas) write(dst []float32) {
	for j, v := range p.v {
		dst[j] = float32(float64(p.lo[j]) + v*(float64(p.hi[j])-float64(p.lo[j])))
	}
}

// at is a pixel, 0 outside.
func (p *canvas) at(v []float64, i, j, k int) float64 {
	if i < 0 || j < 0 || i >= p.h || j >= p.w {
		return 0
	}
	return v[(i*p.w+j)*p.c+k]
}

// needImage refuses what has no height and width.
func needImage(name string, s tensor.Shape) error {
	if len(s) < 2 {
		return fmt.Errorf("corruption %s needs images (height×width×channels), and an example is %v", name, s)
	}
	return nil
}

// apply is the life of a corruption: to [0, 1], change, and back.
func apply(dst, x []float32, s tensor.Shape, box attack.Box, change func(p *canvas)) error {
	p := newCanvas(x, s, box)
	change(p)
	p.write(dst)
	return nil
}
