package onnx_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// A model from a file: what it takes and answers, a prediction, and its
// gradient.
func ExampleNew() {
	ctx := context.Background()
	c := onnx.New()
	config := sdk.Config{JSON: []byte(`{"model": "cnn.onnx", "input_range": [0, 1]}`), BaseDir: "testdata"}
	if err := c.(sdk.Configurable).Configure(ctx, config); err != nil {
		log.Fatal(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.InputShape, info.Layout, "->", info.NumClasses, info.Output)
	x := tensor.Batch(2, info.InputShape)
	outs, pull, err := c.(sdk.Forwarder).Forward(ctx, x, sdk.Output)
	if err != nil {
		log.Fatal(err)
	}
	dx, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: outs[sdk.Output]})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(outs[sdk.Output].Shape, dx.Shape, info.Gradient)
	// Output:
	// 1×14×14 nchw -> 10 logits
	// 2×10 2×1×14×14 exact
}

// A file that is none is refused by the key that names it.
func ExampleClassifier_Configure() {
	config := sdk.Config{JSON: []byte(`{"model": "nothing.onnx"}`), BaseDir: "testdata"}
	err := onnx.New().(sdk.Configurable).Configure(context.Background(), config)
	var faults sdk.Diagnostics
	if !errors.As(err, &faults) {
		log.Fatal(err)
	}
	fmt.Println(sdk.KindOf(err), "at", faults[0].Pointer)
	// Output: invalid argument at /model
}
