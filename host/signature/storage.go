package signature

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// storage is how an array holds a row: source.reshape and source.layout. Image
// files hold theirs otherwise, so these steps are none of theirs.
type storage struct {
	reshape tensor.Shape // nil: as stored
	nchw    bool
}

// Bind implements Step.
func (s storage) Bind(in tensor.Shape) (Bound, error) {
	out := in
	if s.reshape != nil {
		if err := s.reshape.Valid(1, dataset.MaxElements); err != nil {
			return nil, fmt.Errorf("reshape: %w", err)
		}
		if s.reshape.Size() != in.Size() {
			return nil, fmt.Errorf("reshape: %v has %d numbers, an example of %v has %d", s.reshape, s.reshape.Size(), in, in.Size())
		}
		out = s.reshape
	}
	if !s.nchw {
		return reshaped{out}, nil
	}
	if len(out) != 3 {
		return nil, fmt.Errorf("layout nchw: examples are %v, want channels × height × width", out)
	}
	return transposed{tensor.Shape{out[1], out[2], out[0]}}, nil
}

// before is the shape of rows in whose rows out have shape out.
func (s storage) before(out tensor.Shape) tensor.Shape {
	if s.nchw && len(out) == 3 {
		return tensor.Shape{out[2], out[0], out[1]}
	}
	return out
}

// reshaped only calls the same numbers another shape.
type reshaped struct{ out tensor.Shape }

func (b reshaped) Out() tensor.Shape { return b.out }

func (b reshaped) Apply(dst, src []float32, _ tensor.Shape) error {
	copy(dst, src)
	return nil
}

func (b reshaped) Undo(src, dst []float32) { copy(src, dst) }

// transposed brings (channels, height, width) to (height, width, channels).
type transposed struct{ out tensor.Shape }

func (b transposed) Out() tensor.Shape { return b.out }

func (b transposed) Apply(dst, src []float32, _ tensor.Shape) error {
	plane, c := b.out[0]*b.out[1], b.out[2]
	for p := range plane {
		for k := range c {
			dst[p*c+k] = src[k*plane+p]
		}
	}
	return nil
}

func (b transposed) Undo(src, dst []float32) {
	plane, c := b.out[0]*b.out[1], b.out[2]
	for p := range plane {
		for k := range c {
			src[k*plane+p] = dst[p*c+k]
		}
	}
}

// Graph implements Graphed.
func (b reshaped) Graph(g *graph.Builder, x graph.Value, _ tensor.Shape) graph.Value {
	return g.Batch(x, b.out...)
}

// Graph implements Graphed.
func (b transposed) Graph(g *graph.Builder, x graph.Value, _ tensor.Shape) graph.Value {
	return g.Images(g.Batch(x, b.out[2], b.out[0], b.out[1]))
}
