package gradient_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// A classifier that answers predictions alone gets gradients from differences
// of them: here those of a linear one, which are its weights.
func ExampleNew() {
	ctx := context.Background()
	c := attacktest.PredictionsOnly{C: attacktest.Linear{
		W: [][]float32{{2, -1}, {0, 0}}, B: []float32{0, 0}, Lo: []float32{0}, Hi: []float32{1},
	}}
	s, err := gradient.New(ctx, c, gradient.Options{
		Section: gradient.Section{Kind: gradient.Difference, Differences: &gradient.Differences{Pairs: 1}},
		Train:   dataset.InMemory(attacktest.Uniform(50, 2, .2, .8, 1)),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if err := s.Prepare(ctx); err != nil {
		log.Fatal(err)
	}
	x := tensor.From([]float32{.5, .5}, 1, 2)
	_, pull, err := s.Forward(ctx, x, sdk.Output)
	if err != nil {
		log.Fatal(err)
	}
	dx, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: tensor.From([]float32{1, 0}, 1, 2)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %.1f\n", s.Report().Kind, dx.Row(0))
	fmt.Println(s.Report().Note())
	// Output:
	// finite_difference: [2.0 -1.0]
	// the classifier has no gradient: attacks that follow one followed central differences with steps of 0.001 of a feature's range. Their queries are not counted
}

// How much of an estimate from random directions points the right way: 64 pairs
// for a small table and for an image.
func ExampleCosine() {
	fmt.Printf("%.2f %.2f\n", gradient.Cosine(64, 30), gradient.Cosine(64, 784))
	// Output: 0.83 0.27
}

// Whether a spec's wish and a classifier's abilities ask for a Source.
func ExampleNeeded() {
	fmt.Println(gradient.Needed(gradient.Auto, sdk.Info{Gradient: sdk.ExactGradient}))
	fmt.Println(gradient.Needed(gradient.Auto, sdk.Info{Gradient: sdk.NoGradient}))
	fmt.Println(gradient.Needed(gradient.Surrogate, sdk.Info{Gradient: sdk.ExactGradient}))
	// Output:
	// false
	// true
	// true
}

// The ways to gradients, in the order in which auto tries them.
func ExampleDocs() {
	for _, d := range gradient.Docs() {
		fmt.Println(d.Kind)
	}
	// Output:
	// auto
	// exact
	// surrogate
	// finite_difference
	// nes
}
