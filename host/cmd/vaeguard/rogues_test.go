package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// rogues are the plugins that scripts use to see how bad ones are met.
func rogues() map[string]func() {
	return map[string]func(){"chatterbox": chatterbox, "stranger": stranger, "liar": liar,
		"blind":  func() { sdk.Serve(&blind{of: flat{output: sdk.Logits, scale: 4}}) },
		"late":   func() { time.Sleep(time.Hour); sdk.Serve(flat{output: sdk.Logits, scale: 1}) },
		"broken": func() { fmt.Fprintln(os.Stderr, errBroken); os.Exit(1) },
		"slow":   func() { sdk.Serve(&slow{flat: flat{output: sdk.Logits, scale: 1}}) },
		"keeper": func() { sdk.Serve(&keeper{flat: flat{output: sdk.Logits, scale: 1}}) }, "picky": func() { sdk.Serve(picky{flat{output: sdk.Logits, scale: 1}}) }}
}

// chatterbox is a plugin that greets its user on stdout.
func chatterbox() {
	fmt.Println("Loading the model, please wait")
	sdk.Serve(flat{output: sdk.Logits, scale: 1})
}

// stranger is a plugin of some other program.
func stranger() {
	if os.Getenv("VAEGUARD_PLUGIN") != "other" {
		fmt.Fprintln(os.Stderr, "this is a plugin of another program")
		os.Exit(1)
	}
}

// liar answers logits and calls them probabilities.
func liar() { sdk.Serve(flat{output: sdk.Probabilities, scale: 5}) }

// flat is a linear classifier of 64 features and 10 classes: class c sums up
// every tenth feature from c on.
type flat struct {
	output sdk.OutputKind
	scale  float32
}

func (f flat) Info(context.Context) (sdk.Info, error) {
	return sdk.Info{
		Name: "flat", Version: "1.0.0", Output: f.output, Layout: sdk.Flat, Gradient: sdk.ExactGradient,
		InputShape: tensor.Shape{64}, NumClasses: 10, Ready: true, Digest: "flat", Lo: []float32{0}, Hi: []float32{1},
	}, nil
}

func (f flat) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y := tensor.New(x.N(), 10)
	for n := range x.N() {
		for i, v := range x.Row(n) {
			y.Row(n)[i%10] += f.scale * v
		}
	}
	return y, nil
}

func (f flat) Gradient(_ context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx := tensor.Batch(x.N(), x.Example())
	for n := range x.N() {
		for i := range dx.Row(n) {
			dx.Row(n)[i] = f.scale * dy.Row(n)[i%10]
		}
	}
	return dx, nil
}
