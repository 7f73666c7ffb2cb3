package layers

import (
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Surrogate are the layers of a small network that stands in for a classifier
// without gradients, except the last: two convolutions of stride 2 and a dense
// layer for images, two dense layers for features.
func Surrogate(in tensor.Shape, classes int) []nn.Maker {
	relu := nn.Activation{Name: "relu"}
	dense := func(units int) Dense {
		d := NewDense(units)
		d.Activation = relu
		return d
	}
	if len(in) == 3 && in[0] >= 8 && in[1] >= 8 {
		conv := func(filters int) Conv2D {
			c := NewConv2D(filters, 3)
			c.Strides, c.Padding, c.Activation = nn.Pair{2, 2}, "same", relu
			return c
		}
		return []nn.Maker{conv(16), conv(32), Flatten{}, dense(128)}
	}
	width := 64
	for width < 256 && width < 2*in.Size()+4*classes {
		width *= 2
	}
	var out []nn.Maker
	if len(in) > 1 {
		out = append(out, Flatten{})
	}
	return append(out, dense(width), dense(width/2))
}
