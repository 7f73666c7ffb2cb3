package attacktest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Attacks on a linear classifier have closed forms: the distance of a row to
// the boundary is its margin over the norm of the difference of weights.
func ExampleLinear() {
	c := attacktest.Linear{W: [][]float32{{3, 4}, {0, 0}}, B: []float32{-5, 0}, Lo: []float32{-10}, Hi: []float32{10}}
	z, err := c.Predict(context.Background(), tensor.From([]float32{1, 3}, 1, 2))
	if err != nil {
		log.Fatal(err)
	}
	margin := float64(z.Data[0] - z.Data[1])
	fmt.Println("margin", margin, "distance", margin/attack.L2.Length([]float32{3, 4}))
	// Output: margin 10 distance 2
}

// Random noise fools few rows of a network. How many is a rate.
func ExampleRate() {
	m := attacktest.NewMLP(8, 16, 3, 1)
	x := attacktest.Uniform(200, 8, 0, 1, 2)
	adv, err := attack.Run(context.Background(), m, x, nil, &Uniform{Norm: "linf", Eps: .01}, attack.Options{Seed: 3})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(attacktest.Rate(adv) < .2)
	// Output: true
}
