package tensor_test

import (
	"fmt"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Two grey images of 2×3 pixels: the first dimension counts the examples.
func ExampleNew() {
	t := tensor.New(2, 2, 3, 1)
	fmt.Println(t.Shape, "-", t.N(), "examples of", t.Example(), "with", t.Stride(), "numbers each")
	// Output: 2×2×3×1 - 2 examples of 2×3×1 with 6 numbers each
}

// The shape of one example is all that is needed to make room for a batch.
func ExampleBatch() {
	t := tensor.Batch(16, tensor.Shape{28, 28, 1})
	fmt.Println(t.Shape, len(t.Data))
	// Output: 16×28×28×1 12544
}

// From wraps what is there: the tensor and the slice are the same memory.
func ExampleFrom() {
	data := []float32{1, 2, 3, 4, 5, 6}
	t := tensor.From(data, 3, 2)
	data[2] = 30
	fmt.Println(t.Row(1))
	// Output: [30 4]
}

// A row is a view. Writing to it writes to the tensor; Clone parts the two.
func ExampleTensor_Row() {
	t := tensor.From([]float32{1, 2, 3, 4}, 2, 2)
	kept := t.Clone()
	t.Row(1)[0] = 9
	fmt.Println(t.Data, kept.Data)
	// Output: [1 2 9 4] [1 2 3 4]
}

// Batches of at most two rows, without a copy.
func ExampleTensor_Rows() {
	t := tensor.From([]float32{0, 1, 2, 3, 4}, 5, 1)
	for lo := 0; lo < t.N(); lo += 2 {
		batch := t.Rows(lo, min(lo+2, t.N()))
		fmt.Println(batch.Shape, batch.Data)
	}
	// Output:
	// 2×1 [0 1]
	// 2×1 [2 3]
	// 1×1 [4]
}

// Gather picks rows in any order, as a shuffled batch needs them.
func ExampleTensor_Gather() {
	t := tensor.From([]float32{0, 0, 1, 1, 2, 2}, 3, 2)
	fmt.Println(t.Gather([]int{2, 0, 2}).Data)
	// Output: [2 2 0 0 2 2]
}

// An image as a row of features and back: a view of the same numbers.
func ExampleTensor_Reshape() {
	images := tensor.New(10, 8, 8, 1)
	flat := images.Reshape(images.N(), images.Stride())
	fmt.Println(flat.Shape)
	fmt.Println(flat.Reshape(10, 8, 8, 1).Shape.Equal(images.Shape))
	// Output:
	// 10×64
	// true
}

// What a file or a user says of a shape is checked before memory is claimed.
func ExampleShape_Valid() {
	fmt.Println(tensor.Shape{28, 28, 1}.Valid(1, 1<<20))
	fmt.Println(tensor.Shape{28, 0, 1}.Valid(1, 1<<20))
	fmt.Println(tensor.Shape{1 << 20, 1 << 20}.Valid(1, 1<<20))
	// Output:
	// <nil>
	// shape 28×0×1: dimension 1 is 0, want at least 1
	// shape 1048576×1048576: more than 1048576 elements
}
