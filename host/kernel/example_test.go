package kernel_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// A product of matrices with bias and activation in one pass.
func ExampleEngine_Gemm() {
	k, err := kernel.New(kernel.Options{Threads: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	a := kernel.Dense([]float32{1, 2, 3, 4}, 2, 2)
	b := kernel.Dense([]float32{1, 0, 1, 0, 1, 1}, 2, 3)
	c := make([]float32, 2*3)
	k.Gemm(c, 3, a, b, kernel.Epilogue{Bias: []float32{0, -5, 0}, Act: kernel.Act{Kind: kernel.ReLU}})
	fmt.Println(c[:3], c[3:])
	k.Gemm(c, 3, a.T(), b, kernel.Epilogue{}) // views are transposed without a copy
	fmt.Println(c[:3], c[3:])
	// Output:
	// [1 0 3] [3 0 7]
	// [1 3 4] [2 4 6]
}

// The sum over each 2×2 window of a 3×3 image: a cross-correlation with ones.
func ExampleEngine_ConvForward() {
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	x := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	y := make([]float32, 4)
	g := kernel.Conv{H: 3, W: 3, C: 1, OH: 2, OW: 2, F: 1, KH: 2, KW: 2, SH: 1, SW: 1}
	k.ConvForward(y, x, []float32{1, 1, 1, 1}, 1, g, kernel.Epilogue{})
	fmt.Println(y)
	// Output: [12 16 24 28]
}

// Numbers of a stream depend on its key and their position alone, so that they
// can be drawn in pieces and in any order.
func ExampleEngine_Uniform() {
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	key := kernel.Key{Seed: 42, Stream: 7}
	all, part := make([]float32, 100), make([]float32, 10)
	k.Uniform(all, key, 0)
	k.Uniform(part, key, 50)
	same := true
	for i, v := range part {
		same = same && v == all[50+i]
	}
	fmt.Println("numbers 50 to 59 drawn alone are the same:", same)
	// Output: numbers 50 to 59 drawn alone are the same: true
}

// Rows of logits become probabilities.
func ExampleEngine_Softmax() {
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	x := []float32{0, 0, 0, 1, 2, 3}
	k.Softmax(x, x, 3)
	fmt.Printf("%.3f %.3f\n", x[:3], x[3:])
	// Output: [0.333 0.333 0.333] [0.090 0.245 0.665]
}

// The slowest level is in pure Go and always there. Without Options.Level an
// engine has the best one.
func ExampleLevels() {
	k, err := kernel.New(kernel.Options{Level: kernel.Levels()[0]})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	fmt.Println(k.Level())
	// Output: generic
}
