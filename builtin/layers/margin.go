package layers

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Margin are rows and columns around an image, each 0 to nn.MaxSide, written 1,
// [height, width] or [[top, bottom], [left, right]].
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

// frame is an image with a margin around it: what zero_padding2d and cropping2d
// share.
type frame struct {
	inner, outer tensor.Shape // without and with the margin
	margin       Margin
}

// The buffers of a frame in its workspace.
const (
	bufInner = iota
	bufOuter
)

// FLOPs implements nn.Described.
func (*frame) FLOPs() int64 { return 0 }

// Params implements nn.Layer.
func (*frame) Params() []*nn.Param { return nil }

func (f *frame) plan(p *nn.Plan, self nn.Layer) {
	p.Tensor(self, f.inner)
	p.Tensor(self, f.outer)
}

// rows are the offset and stride of the inner image's rows within the outer
// one, and their length.
func (f *frame) rows() (at, stride, length int) {
	c := f.inner[2]
	return (f.margin.Top*f.outer[1] + f.margin.Left) * c, f.outer[1] * c, f.inner[1] * c
}

// put writes inner images with zeros around them.
func (f *frame) put(outer, inner *tensor.Tensor) {
	clear(outer.Data)
	at, stride, length := f.rows()
	for i := range inner.N() {
		src, dst := inner.Row(i), outer.Row(i)[at:]
		for r := range f.inner[0] {
			copy(dst[r*stride:r*stride+length], src[r*length:])
		}
	}
}

// cut writes the inner part of outer images.
func (f *frame) cut(inner, outer *tensor.Tensor) {
	at, stride, length := f.rows()
	for i := range outer.N() {
		src, dst := outer.Row(i)[at:], inner.Row(i)
		for r := range f.inner[0] {
			copy(dst[r*length:(r+1)*length], src[r*stride:])
		}
	}
}
