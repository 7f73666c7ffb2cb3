package optimizers_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Adam finds the smallest value of (w − 3)², whose gradient is 2·(w − 3).
func ExampleTable() {
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		log.Fatal(err)
	}
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	w := &nn.Param{Name: "w", Value: tensor.New(1)}
	g := nn.NewGrads([]*nn.Param{w})
	state := nn.NewOptimizerState(adam, g.Params())
	for range 500 {
		g.Zero()
		g.Of(w).Data[0] = 2 * (w.Value.Data[0] - 3)
		state.Step(k, g, .05)
	}
	fmt.Printf("%.1f\n", w.Value.Data[0])
	// Output: 3.0
}

// The learning rate over a training of a hundred steps, with a warm-up of ten.
func ExampleCosineDecay() {
	s := optimizers.CosineDecay{WarmupTarget: .01, WarmupSteps: 10}
	for _, step := range []int{0, 5, 10, 55, 100} {
		fmt.Printf("step %3d: %.4f\n", step, s.At(.01, step, 100))
	}
	// Output:
	// step   0: 0.0000
	// step   5: 0.0050
	// step  10: 0.0100
	// step  55: 0.0050
	// step 100: 0.0000
}
