package layers

import (
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// ZeroPadding2D puts zeros around an image.
type ZeroPadding2D struct {
	Padding Margin `yaml:"padding" doc:"rows and columns of zeros: 1, [height, width] or [[top, bottom], [left, right]]"`
}

// Margin is what lies around an image, each 0 to nn.MaxSide, written 1, [height,
// width] or [[top, bottom], [left, right]].
type Margin struct{ Top, Bottom, Left, Right int }

// DecodeValue implements registry.Decoder.
func (m *Margin) DecodeValue(v any) error {
	wrong := fmt.Errorf("want a number, [height, width] or [[top, bottom], [left, right]], each 0 to 65536; got %v", v)
	h, w := v, v
	if list, ok := v.([]any); ok {
		if len(list) != 2 {
			return wrong
		}
		h, w = list[0], list[1]
	}
	var ok1, ok2 bool
	m.Top, m.Bottom, ok1 = sides(h)
	m.Left, m.Right, ok2 = sides(w)
	if !ok1 || !ok2 {
		return wrong
	}
	return nil
}

func sides(v any) (before, after int, ok bool) {
	switch v := v.(type) {
	case int:
		return v, v, isMargin(v)
	case []any:
		if len(v) == 2 {
			a, ok1 := v[0].(int)
			b, ok2 := v[1].(int)
			return a, b, ok1 && ok2 && isMargin(a) && isMargin(b)
		}
	}
	return 0, 0, false
}

func isMargin(n int) bool { return n >= 0 && n <= nn.MaxSide }

// EncodeValue implements registry.Encoder.
func (m Margin) EncodeValue() any {
	if m.Top == m.Bottom && m.Left == m.Right {
		if m.Top == m.Left {
			return m.Top
		}
		return []any{m.Top, m.Left}
	}
	return []any{[]any{m.Top, m.Bottom}, []any{m.Left, m.Right}}
}

// JSONSchema implements registry.Schemer.
func (Margin) JSONSchema() map[string]any {
	side := map[string]any{"type": "integer", "minimum": 0, "maximum": nn.MaxSide}
	two := func(item any) map[string]any {
		return map[string]any{"type": "array", "items": item, "minItems": 2, "maxItems": 2}
	}
	return map[string]any{"oneOf": []any{side, two(side), two(two(side))}}
}

// Make implements nn.Maker.
func (z ZeroPadding2D) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) != 3 {
		return nil, errRank("zero_padding2d", "height×width×channels", in)
	}
	m := z.Padding
	return &zeroPadding{
		in: in.Clone(), margin: m,
		out: tensor.Shape{in[0] + m.Top + m.Bottom, in[1] + m.Left + m.Right, in[2]},
	}, nil
}

type zeroPadding struct {
	in, out tensor.Shape
	margin  Margin
}

// Kind implements nn.Described.
func (l *zeroPadding) Kind() string { return "zero_padding2d" }

// FLOPs implements nn.Described.
func (l *zeroPadding) FLOPs() int64 { return 0 }

// NoHiddenOutput implements nn.NoHiddenOutput.
func (l *zeroPadding) NoHiddenOutput() bool { return true }

// Out implements nn.Layer.
func (l *zeroPadding) Out() tensor.Shape { return l.out }

// Params implements nn.Layer.
func (l *zeroPadding) Params() []*nn.Param { return nil }

// Plan implements nn.Layer.
func (l *zeroPadding) Plan(p *nn.Plan) {
	p.Tensor(l, l.in)
	p.Tensor(l, l.out)
}

// rows are the offset and stride of the image's rows within the result, and
// their length.
func (l *zeroPadding) rows() (at, stride, length int) {
	c := l.in[2]
	return (l.margin.Top*l.out[1] + l.margin.Left) * c, l.out[1] * c, l.in[1] * c
}

// Forward implements nn.Layer.
func (l *zeroPadding) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	y := w.Tensor(l, 1, x.N())
	clear(y.Data)
	at, stride, length := l.rows()
	for i := range x.N() {
		src, dst := x.Row(i), y.Row(i)[at:]
		for r := range l.in[0] {
			copy(dst[r*stride:r*stride+length], src[r*length:])
		}
	}
	return y
}

// Backward implements nn.Layer.
func (l *zeroPadding) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	dx := w.Tensor(l, 0, dy.N())
	at, stride, length := l.rows()
	for i := range dy.N() {
		src, dst := dy.Row(i)[at:], dx.Row(i)
		for r := range l.in[0] {
			copy(dst[r*length:(r+1)*length], src[r*stride:])
		}
	}
	return dx
}
