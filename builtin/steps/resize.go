package steps

import (
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/picture"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Resize brings images of any size to one, as Pillow does: shrinking, each pixel
// is a mean over all that it covers.
type Resize struct {
	Height int    `yaml:"height" required:"true" check:">= 1, <= 8192" doc:"height of the image in pixels"`
	Width  int    `yaml:"width" required:"true" check:">= 1, <= 8192" doc:"width of the image in pixels"`
	Method string `yaml:"method" enum:"area|bilinear|bicubic" doc:"how: Pillow's BOX, BILINEAR or BICUBIC; bicubic may leave the range of the pixels at edges"`
}

// Bind implements signature.Step.
func (r Resize) Bind(in tensor.Shape) (signature.Bound, error) {
	if len(in) != 3 {
		return nil, fmt.Errorf("resize: rows are %v, want images of height × width × channels", in)
	}
	if r.Height < 1 || r.Width < 1 {
		return nil, errors.New("resize wants a height and a width of 1 or more")
	}
	return resizing{tensor.Shape{r.Height, r.Width, in[2]}, picture.Method(r.Method)}, nil
}

type resizing struct {
	out    tensor.Shape
	method picture.Method
}

// Out implements signature.Bound.
func (b resizing) Out() tensor.Shape { return b.out }

// Shape implements signature.Sized.
func (b resizing) Shape(in tensor.Shape) tensor.Shape {
	return tensor.Shape{b.out[0], b.out[1], in[2]}
}

// Apply implements signature.Bound.
func (b resizing) Apply(dst, src []float32, in tensor.Shape) error {
	to := picture.Image{H: b.out[0], W: b.out[1], C: in[2], Pix: dst[:0:len(dst)]}
	picture.Resize(&to, &picture.Image{H: in[0], W: in[1], C: in[2], Pix: src}, b.method)
	if len(dst) > 0 && &to.Pix[0] != &dst[0] {
		copy(dst, to.Pix)
	}
	return nil
}

// Graph implements signature.Graphed.
func (b resizing) Graph(g *graph.Builder, x graph.Value, in tensor.Shape) graph.Value {
	return g.Mix(x, in, b.mixing(in[0], b.out[0]), b.mixing(in[1], b.out[1]))
}

// mixing is the matrix, (out, in), of what a column of in pixels becomes: the columns
// of the unit matrix resized, each a channel of one picture.
func (b resizing) mixing(in, out int) []float32 {
	unit := make([]float32, in*in)
	for i := range in {
		unit[i*in+i] = 1
	}
	to := picture.Image{H: out, W: 1, C: in}
	picture.Resize(&to, &picture.Image{H: in, W: 1, C: in, Pix: unit}, b.method)
	return to.Pix
}
