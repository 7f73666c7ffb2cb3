package preprocess_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// A model of Caffe: bytes, blue first, minus a mean that is listed blue first
// too. One pixel of orange in guard space.
func Example() {
	s := preprocess.Section{Scale: preprocess.Numbers{255}, Mean: preprocess.Numbers{104, 117, 123}, Channels: preprocess.BGR}
	m, err := s.For(tensor.Shape{1, 1, 3})
	if err != nil {
		log.Fatal(err)
	}
	orange := tensor.From([]float32{1, 0.6, 0}, 1, 1, 1, 3)
	fmt.Println("to the model:", m.Apply(orange).Data)
	fmt.Println("gradient:", m.Pull(tensor.From([]float32{1, 0, 0}, 1, 1, 1, 3)).Data)
	// Output:
	// to the model: [-104 36 132]
	// gradient: [0 0 255]
}

// Keys that do not go with the data are faults with their place.
func ExampleSection_For() {
	s := preprocess.Section{Mean: preprocess.Numbers{104, 117, 123}, Layout: "nchw"}
	_, err := s.For(tensor.Shape{8})
	fmt.Println(err)
	// Output:
	// mean: has 3 numbers, examples of 8 have 8 columns: want one number, or one per column
	// layout: is for images, (height, width, channels); examples are 8
}
