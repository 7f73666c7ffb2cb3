// Package layers are the layers that ship in the box. Names, options, defaults
// and semantics are Keras 3's; images are NHWC.
package layers

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Table lists the layers.
func Table() registry.Table[nn.Maker] {
	return registry.NewTable("layer",
		registry.Entry[nn.Maker]{Name: "dense", Default: Dense{Kernel: newKernel()},
			Doc: "A matrix product over the last dimension, with bias and activation."},
		registry.Entry[nn.Maker]{Name: "flatten", Default: Flatten{},
			Doc: "The same numbers in one dimension."},
		registry.Entry[nn.Maker]{Name: "reshape", Default: Reshape{},
			Doc: "The same numbers in another shape; one dimension may be -1."},
		registry.Entry[nn.Maker]{Name: "activation", Default: ActivationLayer{},
			Doc: "An activation on its own."},
		registry.Entry[nn.Maker]{Name: "leaky_relu", Default: LeakyReLU{NegativeSlope: 0.3},
			Doc: "x for positive x, negative_slope·x for the others."},
	)
}

func errRank(layer, want string, in tensor.Shape) error {
	return fmt.Errorf("%s: input is %v, want %s", layer, in, want)
}
