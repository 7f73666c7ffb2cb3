package attack_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The options of a run take precedence over the attack's own: here another
// radius, and a class to reach.
func ExampleRun_targeted() {
	x := tensor.From([]float32{.6, .4, .9, .1}, 2, 2)
	o := attack.Options{Eps: .45, Targets: []int{1, 1}}
	adv, err := attack.Run(context.Background(), larger, x, nil, &SignStep{Norm: "linf", Eps: .15}, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(adv.Predicted, "->", adv.PredictedAdv)
	// Output: [0 0] -> [1 1]
}

// An attack that needs gradients says so to a model that has none.
func ExampleRun_withoutGradients() {
	c := attacktest.PredictionsOnly{C: larger}
	_, err := attack.Run(context.Background(), c, tensor.New(1, 2), nil, &SignStep{Norm: "linf", Eps: .1}, attack.Options{})
	fmt.Println(err)
	// Output: the attack needs gradients, and classifier linear answers predictions only: use an attack that works from predictions or labels ("list attack" says which do), or give the classifier a surrogate (classifier.gradient: surrogate)
}

// The four norms of one perturbation.
func ExampleNorm_Distance() {
	x, y := []float32{0, 0, 0}, []float32{3, 0, -4}
	for _, n := range []attack.Norm{attack.Linf, attack.L2, attack.L1, attack.L0} {
		fmt.Println(n, n.Distance(x, y))
	}
	// Output:
	// linf 4
	// l2 5
	// l1 7
	// l0 2
}

// A point outside moves into the box, and then to the nearest point of the
// ball.
func ExampleBudget_Project() {
	x := []float32{0, 0}
	box := attack.Box{Lo: []float32{-9}, Hi: []float32{9}}
	for _, n := range []attack.Norm{attack.Linf, attack.L2} {
		y := []float32{3, 4}
		attack.Budget{Norm: n, Eps: .5, Box: box}.Project(x, y)
		fmt.Printf("%s %.2f\n", n, y)
	}
	// Output:
	// linf [0.50 0.50]
	// l2 [0.30 0.40]
}

// Randomness belongs to the example and not to the batch: the same row draws
// the same numbers wherever it stands.
func ExampleBudget_Rand() {
	together := attack.Budget{Seed: 1, Rows: []uint64{100, 101, 102}}
	alone := attack.Budget{Seed: 1, Rows: []uint64{102}}
	fmt.Println(together.Rand(2, 0).Uint64() == alone.Rand(0, 0).Uint64())
	fmt.Println(together.Rand(1, 0).Uint64() == alone.Rand(0, 0).Uint64())
	// Output:
	// true
	// false
}

// What attacks minimise: the margin of Carlini and Wagner is the lead of the
// label over the best other class, down to the confidence that is wanted.
func ExampleGoal_Margin() {
	o := attack.Goal{Labels: []int{0, 0}, Kind: sdk.Logits, Classes: 3}.Margin(.25)
	outputs := map[string]*tensor.Tensor{sdk.Output: tensor.From([]float32{5, 2, 1, 2, 2.5, 1}, 2, 3)}
	loss, done := make([]float64, 2), make([]bool, 2)
	o.Loss(loss, outputs, nil)
	o.Done(done, outputs)
	fmt.Println(loss, done)
	// Output: [3 -0.25] [false true]
}

// shuffle moves nothing towards the boundary: it is there to be compared with.
type shuffle struct{ SignStep }

// Control implements attack.Control.
func (*shuffle) Control() bool { return true }

// What an attack declares of itself, the evaluation asks.
func ExampleIsControl() {
	fmt.Println(attack.IsControl(&shuffle{}), attack.IsControl(&SignStep{}))
	fmt.Println(attack.IsIterated(&SignStep{}))
	// Output:
	// true false
	// false
}
