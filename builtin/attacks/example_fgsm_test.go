package attacks_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin/attacks"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// larger says which of two numbers in [0, 1] is the larger one: a row is at
// distance (a − b)/√2 from the boundary.
var larger = attacktest.Linear{W: [][]float32{{1, 0}, {0, 1}}, B: []float32{0, 0}, Lo: []float32{0}, Hi: []float32{1}}

func run(a attack.Attack, x *tensor.Tensor) *attack.Adversarial {
	adv, err := attack.Run(context.Background(), larger, x, nil, a, attack.Options{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	return adv
}

// One step of length eps fools the rows whose two numbers lie less than twice
// as far apart.
func ExampleFGSM() {
	x := tensor.From([]float32{.55, .45, .7, .3, .95, .05}, 3, 2)
	fmt.Println(run(&attacks.FGSM{Norm: "linf", Eps: .25, EpsSteps: 1}, x).Success)
	// Output: [true true false]
}
