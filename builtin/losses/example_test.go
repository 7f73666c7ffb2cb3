package losses_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The loss of the guard: how far the classifier's predictions on an input and
// on its reconstruction lie apart. Its gradient at the second pushes towards
// the first.
func ExampleAdversarial() {
	x := tensor.From([]float32{0, 1}, 1, 2)
	objective, err := (&losses.Adversarial{WModel: 1, CovELBO: losses.DefaultCovariance()}).Make(train.Setup{X: dataset.InMemory(x), Output: sdk.Probabilities})
	if err != nil {
		log.Fatal(err)
	}
	s := &train.Step{
		X: x, UnitX: x, Rebuilt: x, UnitRebuilt: x,
		P: tensor.From([]float32{.9, .1}, 1, 2), Q: tensor.From([]float32{.5, .5}, 1, 2),
		DUnitRebuilt: tensor.New(1, 2), DQ: tensor.New(1, 2),
	}
	fmt.Printf("%.3f nats\n", objective.Loss(s))
	fmt.Printf("%.2f\n", s.DQ.Data)
	// Output:
	// 0.368 nats
	// [-1.80 -0.20]
}

// The mean squared error of a reconstruction, and its gradient.
func ExampleMSE() {
	x, rebuilt := tensor.From([]float32{0, 1}, 1, 2), tensor.From([]float32{.5, 1}, 1, 2)
	objective, err := (&losses.MSE{}).Make(train.Setup{X: dataset.InMemory(x)})
	if err != nil {
		log.Fatal(err)
	}
	s := &train.Step{X: x, UnitX: x, Rebuilt: rebuilt, UnitRebuilt: rebuilt, DUnitRebuilt: tensor.New(1, 2)}
	fmt.Println(objective.Loss(s), s.DUnitRebuilt.Data)
	// Output: 0.125 [0.5 0]
}

// Losses by name, as a section train has them.
func ExampleTable() {
	fmt.Println(losses.Table().Names())
	var section struct {
		Loss train.Loss `yaml:"loss"`
	}
	if err := spec.DecodeJSON([]byte(`{"loss": {"elbo": {"cov_elbo": {"sim": 0.1}}}}`), &section, losses.Table()); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", section.Loss)
	fmt.Println(spec.DecodeJSON([]byte(`{"loss": {"adversarial": {"w_model": 0}}}`), &section, losses.Table()))
	// Output:
	// [adversarial elbo mse bce]
	// *losses.ELBO
	// /loss/adversarial: w_model and w_recon are both 0: nothing to learn from
}
