package steps

import (
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Crop keeps the middle of an image, as torchvision's CenterCrop does: where the
// margins cannot be equal, the one above and left is the even one of the two.
type Crop struct {
	Height int `yaml:"height" required:"true" check:">= 1, <= 8192" doc:"height of what is kept, in pixels"`
	Width  int `yaml:"width" required:"true" check:">= 1, <= 8192" doc:"width of what is kept, in pixels"`
}

// Bind implements signature.Step.
func (c Crop) Bind(in tensor.Shape) (signature.Bound, error) {
	if len(in) != 3 {
		return nil, fmt.Errorf("crop: rows are %v, want images of height × width × channels", in)
	}
	if c.Height < 1 || c.Width < 1 {
		return nil, errors.New("crop wants a height and a width of 1 or more")
	}
	b := cropping{tensor.Shape{c.Height, c.Width, in[2]}}
	return b, b.holds(in)
}

type cropping struct{ out tensor.Shape }

// holds is an error if an image is smaller than what is kept of it. A side of 0
// is each row's own.
func (b cropping) holds(in tensor.Shape) error {
	if in[0] > 0 && in[0] < b.out[0] || in[1] > 0 && in[1] < b.out[1] {
		return fmt.Errorf("crop: the image is %d×%d, smaller than %d×%d; resize comes before it", in[0], in[1], b.out[0], b.out[1])
	}
	return nil
}

// Out implements signature.Bound.
func (b cropping) Out() tensor.Shape { return b.out }

// Shape implements signature.Sized.
func (b cropping) Shape(in tensor.Shape) tensor.Shape {
	return tensor.Shape{b.out[0], b.out[1], in[2]}
}

// Apply implements signature.Bound.
func (b cropping) Apply(dst, src []float32, in tensor.Shape) error {
	if err := b.holds(in); err != nil {
		return err
	}
	top, left, c := margin(in[0]-b.out[0]), margin(in[1]-b.out[1]), in[2]
	for y := range b.out[0] {
		copy(dst[y*b.out[1]*c:][:b.out[1]*c], src[((top+y)*in[1]+left)*c:])
	}
	return nil
}

// margin is half of what is cut off, rounded to even as Python's round does.
func margin(rest int) int {
	if rest%4 == 3 { // k + ½ with k odd
		return rest/2 + 1
	}
	return rest / 2
}

// Graph implements signature.Graphed.
func (b cropping) Graph(g *graph.Builder, x graph.Value, in tensor.Shape) graph.Value {
	top, left := margin(in[0]-b.out[0]), margin(in[1]-b.out[1])
	return g.Slice(g.Slice(x, 1, top, top+b.out[0]), 2, left, left+b.out[1])
}
