package steps

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/picture"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Color brings images to one number of channels: color: rgb, color: grey.
type Color struct {
	Mode string // "rgb" or "grey"
}

// DecodeValue implements registry.Decoder.
func (c *Color) DecodeValue(v any) error {
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		v = m["mode"]
	}
	s, ok := v.(string)
	if !ok || s != "rgb" && s != "grey" {
		return fmt.Errorf("want rgb or grey, got %v", v)
	}
	c.Mode = s
	return nil
}

// EncodeValue implements registry.Encoder.
func (c Color) EncodeValue() any { return c.Mode }

// JSONSchema implements registry.Schemer.
func (Color) JSONSchema() map[string]any { return map[string]any{"enum": []any{"rgb", "grey"}} }

// channels is the number of channels out.
func (c Color) channels() int {
	if c.Mode == "grey" {
		return 1
	}
	return 3
}

// Bind implements signature.Step.
func (c Color) Bind(in tensor.Shape) (signature.Bound, error) {
	if len(in) != 3 || in[2] != 0 && in[2] != 1 && in[2] != 3 {
		return nil, fmt.Errorf("color: rows are %v, want images of height × width × 1 or 3 channels", in)
	}
	return coloring{tensor.Shape{in[0], in[1], c.channels()}}, nil
}

type coloring struct{ out tensor.Shape }

// Out implements signature.Bound.
func (b coloring) Out() tensor.Shape { return b.out }

// Shape implements signature.Sized.
func (b coloring) Shape(in tensor.Shape) tensor.Shape {
	return tensor.Shape{in[0], in[1], b.out[2]}
}

// Apply implements signature.Bound.
func (b coloring) Apply(dst, src []float32, in tensor.Shape) error {
	from := picture.Image{H: in[0], W: in[1], C: in[2], Pix: src}
	to := picture.Image{Pix: dst[:0:len(dst)]}
	switch {
	case in[2] == b.out[2]:
		copy(dst, src)
		return nil
	case b.out[2] == 1:
		picture.Gray(&to, &from)
	default:
		picture.RGB(&to, &from)
	}
	copy(dst, to.Pix)
	return nil
}

// Graph implements signature.Graphed.
func (b coloring) Graph(g *graph.Builder, x graph.Value, in tensor.Shape) graph.Value {
	switch {
	case in[2] == b.out[2]:
		return x
	case b.out[2] == 3:
		return g.Concat(3, x, x, x)
	}
	weights := make([]float32, 3) // those of each channel, as picture has them
	for c := range weights {
		one := make([]float32, 3)
		one[c] = 1
		to := picture.Image{Pix: make([]float32, 0, 1)}
		picture.Gray(&to, &picture.Image{H: 1, W: 1, C: 3, Pix: one})
		weights[c] = to.Pix[0]
	}
	return g.MatMul(x, g.Floats(weights, 3, 1))
}
