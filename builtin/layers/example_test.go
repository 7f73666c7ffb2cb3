package layers_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// A convolutional network for grey images of 28×28 pixels, layer by layer.
func Example() {
	conv := layers.NewConv2D(16, 3)
	conv.Strides, conv.Padding = nn.Pair{2, 2}, "same"
	conv.Activation = nn.Activation{Name: "relu"}
	s, err := nn.Build([]nn.Maker{conv, conv, layers.Flatten{}, layers.NewDense(10)}, tensor.Shape{28, 28, 1}, nn.FreshRand(1))
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range nn.Describe(s) {
		fmt.Println(l.Name, l.Out, l.Params)
	}
	// Output:
	// conv2d_0 14×14×16 160
	// conv2d_1 7×7×16 2320
	// flatten_2 784 0
	// dense_3 10 7850
}

// The table has every layer with the defaults that a spec gets. Struct literals
// do not have them: NewDense and NewConv2D do.
func ExampleTable() {
	m, err := layers.Table().Lookup("dropout")
	if err != nil {
		log.Fatal(err)
	}
	l, err := m.Make(tensor.Shape{7}, nn.FreshRand(1))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Out(), len(l.Params()), "params")
	// Output: 7 0 params
}

// A layer says what it wanted of a shape.
func ExampleReshape() {
	_, err := layers.Reshape{TargetShape: []int{4, 4, 3}}.Make(tensor.Shape{64}, nn.FreshRand(1))
	fmt.Println(err)
	l, err := layers.Reshape{TargetShape: []int{4, 4, -1}}.Make(tensor.Shape{64}, nn.FreshRand(1))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Out())
	// Output:
	// reshape: 64 elements cannot become 4×4×3 = 48
	// 4×4×4
}

// A residual block with a shortcut through a projection, since its layers
// halve the image.
func ExampleResidual() {
	conv := layers.NewConv2D(32, 3)
	conv.Strides, conv.Padding = nn.Pair{2, 2}, "same"
	block := layers.Residual{Layers: []nn.Maker{conv}, Shortcut: "projection", Activation: nn.Activation{Name: "relu"}}
	l, err := block.Make(tensor.Shape{8, 8, 16}, nn.FreshRand(1))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Out())
	for _, p := range l.Params() {
		fmt.Println(p.Name, p.Value.Shape)
	}
	// Output:
	// 4×4×32
	// layers.0.kernel 3×3×16×32
	// layers.0.bias 32
	// shortcut.kernel 1×1×16×32
	// shortcut.bias 32
}

// Which layers lead from a decoder's end to the shape that is wanted.
func ExampleBridge() {
	fmt.Println(layers.Bridge(tensor.Shape{32, 32, 3}, tensor.Shape{28, 28, 3}))
	fmt.Println(layers.Bridge(tensor.Shape{64}, tensor.Shape{8, 8, 1}))
	// Output:
	// cropping2d: {cropping: [[2, 2], [2, 2]]}
	// reshape: {target_shape: [8, 8, 1]}
}

// The stand-in for a classifier without gradients.
func ExampleSurrogate() {
	for _, in := range []tensor.Shape{{28, 28, 1}, {30}} {
		s, err := nn.Build(layers.Surrogate(in, 10), in, nn.FreshRand(1))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(in, "->", s.Out(), "in", len(s.Layers()), "layers")
	}
	// Output:
	// 28×28×1 -> 128 in 4 layers
	// 30 -> 64 in 2 layers
}
