// Package layers are the layers that ship in the box. Names, options, defaults
// and semantics are Keras 3's; images are NHWC.
package layers

import (
	"fmt"
	"strings"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Table lists the layers.
func Table() registry.Table[nn.Maker] {
	entry := func(name string, maker nn.Maker, doc string) registry.Entry[nn.Maker] {
		return registry.Entry[nn.Maker]{Name: name, Default: maker, Doc: doc}
	}
	return registry.NewTable("layer",
		entry("dense", Dense{Kernel: newKernel()},
			"A matrix product over the last dimension, with bias and activation."),
		entry("conv2d", Conv2D{Window: newWindow(), Kernel: newKernel()},
			"A convolution of an image."),
		entry("conv2d_transpose", Conv2DTranspose{Window: newWindow(), Kernel: newKernel()},
			"A transposed convolution, which enlarges an image by its strides."),
		entry("depthwise_conv2d", DepthwiseConv2D{DepthMultiplier: 1, Window: newWindow(), Kernel: newKernel()},
			"A convolution of each channel on its own."),
		entry("max_pooling2d", MaxPooling2D{newPooling()},
			"The largest number of each window of an image."),
		entry("average_pooling2d", AveragePooling2D{newPooling()},
			"The mean of each window of an image."),
		entry("global_average_pooling2d", GlobalAveragePooling2D{},
			"The mean of each channel of an image."),
		entry("up_sampling2d", UpSampling2D{Size: nn.Pair{2, 2}, Interpolation: "nearest"},
			"An image enlarged by whole factors."),
		entry("zero_padding2d", ZeroPadding2D{Margin{1, 1, 1, 1}},
			"Zeros around an image."),
		entry("cropping2d", Cropping2D{},
			"An image without the rows and columns at its edges."),
		entry("resizing", Resizing{Interpolation: "bilinear"},
			"An image at another height and width, without antialiasing."),
		entry("flatten", Flatten{},
			"The same numbers in one dimension."),
		entry("reshape", Reshape{},
			"The same numbers in another shape; one dimension may be -1."),
		entry("dropout", Dropout{},
			"In training, random zeros; the other numbers are scaled to keep the mean."),
		entry("batch_normalization", BatchNormalization{Momentum: 0.99, Affine: newAffine()},
			"Zero mean and unit variance for each channel, over the batch."),
		entry("layer_normalization", LayerNormalization{newAffine()},
			"Zero mean and unit variance for each vector of the last dimension."),
		entry("gaussian_noise", GaussianNoise{},
			"In training, normal noise is added."),
		entry("rescaling", Rescaling{Scale: 1},
			"A fixed factor and offset for all numbers."),
		entry("activation", ActivationLayer{},
			"An activation on its own."),
		entry("leaky_relu", LeakyReLU{NegativeSlope: 0.3},
			"x for positive x, negative_slope·x for the others."),
		entry("residual", Residual{Shortcut: "identity"},
			"Layers with a shortcut around them: act(layers(x) + shortcut(x))."),
	)
}

func errRank(layer, want string, in tensor.Shape) error {
	return fmt.Errorf("%s: input is %v, want %s", layer, in, want)
}

// yaml writes an option's value: a number, or lists of numbers.
func yaml(v any) string { return strings.ReplaceAll(fmt.Sprint(v), " ", ", ") }
