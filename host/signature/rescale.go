package signature

import (
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Rescale is x·scale + offset, in float64 and rounded once.
type Rescale struct {
	Scale  dataset.Values `yaml:"scale" default:"1" doc:"factor: one for all, or a list with one a channel of images, one a column of tables"`
	Offset dataset.Values `yaml:"offset" doc:"added after the factor: one for all, or a list as scale"`
}

// Validate implements registry.Validator.
func (r Rescale) Validate() error {
	var faults registry.FieldErrors
	for i, v := range r.Scale {
		if v == 0 {
			faults.Add("scale", "number %d is 0: nothing would be left of the values", i)
		}
	}
	if n, m := len(r.Scale), len(r.Offset); n > 1 && m > 1 && n != m {
		faults.Add("offset", "%d numbers, scale has %d", m, n)
	}
	for _, l := range []struct {
		key string
		v   dataset.Values
	}{{"scale", r.Scale}, {"offset", r.Offset}} {
		if slices.ContainsFunc(l.v, func(v float64) bool { return math.IsInf(v, 0) || math.IsNaN(v) }) {
			faults.Add(l.key, "want finite numbers")
		}
	}
	return faults.Err()
}

// Bind implements Step.
func (r Rescale) Bind(in tensor.Shape) (Bound, error) {
	n := max(len(r.Scale), len(r.Offset), 1)
	last := 1
	if len(in) > 0 {
		last = in[len(in)-1]
	}
	if n > 1 && last == 0 {
		return nil, fmt.Errorf("rescale: %d numbers, one a channel, and images of any number of channels: put color before it", n)
	}
	if n > 1 && n != last {
		return nil, fmt.Errorf("rescale: %d numbers for rows of %v: want 1 or %d", n, in, last)
	}
	b := rescaling{out: in, scale: r.Scale, offset: r.Offset, n: n}
	if len(b.scale) == 0 {
		b.scale = dataset.Values{1}
	}
	if len(b.offset) == 0 {
		b.offset = dataset.Values{0}
	}
	return b, nil
}

type rescaling struct {
	out           tensor.Shape
	scale, offset dataset.Values
	n             int // numbers that repeat
}

func (b rescaling) Out() tensor.Shape                  { return b.out }
func (b rescaling) Shape(in tensor.Shape) tensor.Shape { return in }

func (b rescaling) Apply(dst, src []float32, _ tensor.Shape) error {
	if b.n == 1 {
		scale, offset := b.scale.At(0), b.offset.At(0)
		for i, v := range src {
			dst[i] = float32(float64(float64(v)*scale) + offset)
		}
		return nil
	}
	for i, v := range src {
		k := i % b.n
		dst[i] = float32(float64(float64(v)*b.scale.At(k)) + b.offset.At(k))
	}
	return nil
}

func (b rescaling) Undo(src, dst []float32) {
	for i, v := range dst {
		k := i % b.n
		src[i] = float32((float64(v) - b.offset.At(k)) / b.scale.At(k))
	}
}

// Graph implements Graphed.
func (b rescaling) Graph(g *graph.Builder, x graph.Value, _ tensor.Shape) graph.Value {
	scale, offset := make([]float64, b.n), make([]float64, b.n)
	for k := range scale {
		scale[k], offset[k] = b.scale.At(k), b.offset.At(k)
	}
	wide := g.Mul(g.Cast(x, graph.Double), g.Doubles(scale, b.n))
	return g.Cast(g.Add(wide, g.Doubles(offset, b.n)), graph.Float)
}
