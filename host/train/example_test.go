package train_test

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
)

// The divergence of two predictions: none, and that of a sure from an undecided
// one.
func ExampleDivergence_Row() {
	d := train.NewDivergence(sdk.Probabilities, 1, 0)
	same, _ := d.Row([]float32{.5, .5}, []float32{.5, .5}, nil, 0)
	sure, _ := d.Row([]float32{1, 0}, []float32{.5, .5}, nil, 0)
	fmt.Printf("%.3f %.3f nats\n", same, sure)
	// Output: 0.000 0.693 nats
}
