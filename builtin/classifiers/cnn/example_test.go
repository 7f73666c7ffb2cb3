package cnn_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin/classifiers/cnn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Configured but not trained yet: its layers are there to be compared as hidden
// outputs, a prediction is not.
func ExampleNew() {
	ctx := context.Background()
	c := cnn.New()
	err := c.Configure(ctx, sdk.Config{
		JSON: []byte(`{"filters": [8, 16], "hidden": [32], "range": [0, 1]}`), InputShape: tensor.Shape{28, 28, 1}, Classes: 10,
	})
	if err != nil {
		log.Fatal(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.InputShape, info.NumClasses, info.Output, "ready:", info.Ready)
	for _, h := range info.Hidden {
		fmt.Println(h.Name, h.Shape)
	}
	_, err = c.Predict(ctx, tensor.New(1, 28, 28, 1))
	fmt.Println(sdk.KindOf(err))
	// Output:
	// 28×28×1 10 logits ready: false
	// conv2d_0 28×28×8
	// max_pooling2d_1 14×14×8
	// conv2d_2 14×14×16
	// max_pooling2d_3 7×7×16
	// dense_5 32
	// failed precondition
}

// Layers one by one, as a spec's classifier.config has them. What does not fit
// is named by its place.
func ExampleNew_layers() {
	ctx := context.Background()
	config := sdk.Config{InputShape: tensor.Shape{28, 28, 1}, Classes: 10}
	config.JSON = []byte(`{"layers": [{"conv2d": {"filters": 8, "kernel_size": 3}}, "flatten", {"max_pooling2d": {"pool_size": 2}}]}`)
	err := cnn.New().Configure(ctx, config)
	var faults sdk.Diagnostics
	if !errors.As(err, &faults) {
		log.Fatal(err)
	}
	for _, f := range faults {
		fmt.Println(f.Pointer, "-", f.Message)
	}
	// Output: /layers/2 - max_pooling2d: input is 5408, want height×width×channels
}
