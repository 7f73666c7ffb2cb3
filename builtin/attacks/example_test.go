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

// Attacks of the table have the defaults that a spec gets.
func ExampleTable() {
	a, err := attacks.Table().Lookup("pgd")
	if err != nil {
		log.Fatal(err)
	}
	pgd := a.(*attacks.PGD)
	pgd.Eps, pgd.Steps, pgd.Step = .25, 10, .25
	adv := run(pgd, tensor.From([]float32{.55, .45, .95, .05}, 2, 2))
	fmt.Println(adv.Success)
	fmt.Println("in the ball:", adv.Norm[0] <= .25 && adv.Norm[1] <= .25)
	// Output:
	// [true false]
	// in the ball: true
}

// The smallest perturbation, in the L2 norm: of (0.9, 0.1) it is 0.8/√2, and
// DeepFool overshoots by two parts in a hundred.
func ExampleDeepFool() {
	adv := run(&attacks.DeepFool{Norm: "l2", Steps: 50, Overshoot: .02, Candidates: 2}, tensor.From([]float32{.9, .1}, 1, 2))
	fmt.Printf("fooled %t at %.2f\n", adv.Success[0], adv.Norm[0])
	// Output: fooled true at 0.58
}

// An attack by predictions alone, within a budget of queries.
func ExampleSquare() {
	adv := run(&attacks.Square{Norm: "linf", Eps: .3, Queries: 100, PInit: .8}, tensor.From([]float32{.6, .4}, 1, 2))
	fmt.Println(adv.Success[0], adv.Gradients[0], "gradients")
	// Output: true 0 gradients
}

// Noise of the same size as an attack's perturbation: the control.
func ExampleNoise() {
	x := attacktest.Uniform(200, 2, 0, 1, 1)
	noise := attacktest.Rate(run(&attacks.Noise{Norm: "linf", Eps: .1, Distribution: "uniform"}, x))
	fgsm := attacktest.Rate(run(&attacks.FGSM{Norm: "linf", Eps: .1, EpsSteps: 1}, x))
	fmt.Println("noise fools less than half as many:", noise < fgsm/2)
	// Output: noise fools less than half as many: true
}

// An attack that knows the guard aims at both: the classifier is to be wrong
// and the score below the threshold.
func ExampleJoint() {
	guard, x, labels := attacktest.NewGuard(8, 3, 3, 50, 1)
	a := &attacks.Joint{Norm: "linf", Eps: .3, Steps: 30, Step: .1, Lambdas: []float64{1, 10}}
	o := attack.Options{Seed: 1, Threshold: guard.Threshold, Judge: guard.Judge(labels, a.WantsFlag())}
	adv, err := attack.Run(context.Background(), guard, x, labels, a, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("some rows come past both:", attacktest.Rate(adv) > 0)
	// Output: some rows come past both: true
}
