package vae

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Normalizer maps an input to the auto-encoder's units, (x − Mean)/Std, and
// back. Images have one pair of numbers per channel, other inputs one per
// feature.
type Normalizer struct {
	Mean, Std []float64 // one, one per channel (last dimension) or one per feature

	mean, std      []float32 // one per feature
	shift, inverse []float32 // x·inverse + shift
	zero           []float32
}

// NewNormalizer expands given numbers for examples of a shape.
func NewNormalizer(mean, std []float64, example tensor.Shape) (*Normalizer, error) {
	size, channels := example.Size(), 1
	if len(example) > 0 {
		channels = example[len(example)-1]
	}
	for _, l := range []struct {
		name string
		v    []float64
	}{{"mean", mean}, {"std", std}} {
		if n := len(l.v); n != 1 && n != channels && n != size {
			return nil, fmt.Errorf("vae.normalize.%s has %d numbers, want 1, %d (channels) or %d (features)", l.name, n, channels, size)
		}
		for i, v := range l.v {
			if math.IsNaN(v) || math.IsInf(v, 0) || l.name == "std" && v <= 0 {
				return nil, fmt.Errorf("vae.normalize.%s[%d] is %v, want a finite number%s", l.name, i, v, map[bool]string{true: " above 0"}[l.name == "std"])
			}
		}
	}
	n := &Normalizer{Mean: mean, Std: std, mean: make([]float32, size), std: make([]float32, size),
		shift: make([]float32, size), inverse: make([]float32, size), zero: make([]float32, size)}
	for i := range size {
		m, s := mean[i%len(mean)], std[i%len(std)]
		n.mean[i], n.std[i] = float32(m), float32(s)
		n.inverse[i], n.shift[i] = float32(1/s), float32(-m/s)
	}
	return n, nil
}

// FitNormalizer measures the rows of x, going over them twice. mode is none (nil, nil), standard
// (mean and deviation) or minmax (minimum and range). What is constant keeps
// its scale: a deviation of 0 becomes 1.
func FitNormalizer(mode string, x dataset.Examples) (*Normalizer, error) {
	if mode == "none" || mode == "" {
		return nil, nil
	}
	if mode != "standard" && mode != "minmax" {
		return nil, fmt.Errorf("vae.normalize is %q, want none, standard, minmax or {mean: […], std: […]}", mode)
	}
	if x == nil || x.N() == 0 {
		return nil, fmt.Errorf("vae.normalize: %s needs rows to be fitted on", mode)
	}
	width := x.Example().Size()
	if ex := x.Example(); len(ex) == 3 {
		width = ex[2]
	}
	var err error
	a, b := make([]float64, width), make([]float64, width)
	if mode == "minmax" {
		err = extremes(a, b, x)
	} else {
		err = moments(a, b, x)
	}
	if err != nil {
		return nil, fmt.Errorf("data.train: %w", err)
	}
	for i, s := range b {
		if !(s > 0) {
			b[i] = 1
		}
	}
	return NewNormalizer(a, b, x.Example())
}

// extremes writes the minimum and the range of each column.
func extremes(lo, span []float64, x dataset.Examples) error {
	w := len(lo)
	for j := range w {
		lo[j], span[j] = math.Inf(1), math.Inf(-1)
	}
	for row, err := range dataset.Each(x) {
		if err != nil {
			return err
		}
		for i, v := range row {
			j := i % w
			lo[j], span[j] = min(lo[j], float64(v)), max(span[j], float64(v))
		}
	}
	for j := range w {
		span[j] -= lo[j]
	}
	return nil
}

// moments writes the mean and the biased standard deviation of each column, in
// two passes.
func moments(mean, std []float64, x dataset.Examples) error {
	w := len(mean)
	n := float64(x.N() * (x.Example().Size() / w))
	for row, err := range dataset.Each(x) {
		if err != nil {
			return err
		}
		for i, v := range row {
			mean[i%w] += float64(v)
		}
	}
	for j := range w {
		mean[j] /= n
	}
	for row, err := range dataset.Each(x) {
		if err != nil {
			return err
		}
		for i, v := range row {
			d := float64(v) - mean[i%w]
			std[i%w] += d * d
		}
	}
	for j := range w {
		std[j] = math.Sqrt(std[j] / n)
	}
	return nil
}

// Apply maps x to the auto-encoder's units. y may be x.
func (n *Normalizer) Apply(k *kernel.Engine, y, x *tensor.Tensor) {
	k.ScaleColumns(y.Data, x.Data, n.inverse, n.shift)
}

// Gradient maps a gradient at an input to the one at the same in the
// auto-encoder's units. dy may be dx.
func (n *Normalizer) Gradient(k *kernel.Engine, dy, dx *tensor.Tensor) {
	k.ScaleColumns(dy.Data, dx.Data, n.std, n.zero)
}

// Scale is the number of the input's units in one of the auto-encoder's, one a
// feature. It must not be changed.
func (n *Normalizer) Scale() []float32 { return n.std }

// Offset is the input that is 0 in the auto-encoder's units, one number a
// feature. It must not be changed.
func (n *Normalizer) Offset() []float32 { return n.mean }
