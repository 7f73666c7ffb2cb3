package oracle_test

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
)

// A class that is surer than float64 can say of its probability still has a
// logarithm with all its digits.
func ExampleLogProbabilities() {
	logp := make([]float64, 3)
	oracle.LogProbabilities(logp, []float32{50, 0, 0}, sdk.Logits, 1)
	fmt.Printf("%.6g %.6g %.6g\n", logp[0], logp[1], logp[2])
	// Output: -3.8575e-22 -50 -50
}

// The gradient at logits of a score of the second class's log-probability.
func ExampleReading_Pull() {
	r := oracle.Reading{Kind: sdk.Logits, Temperature: 1}
	dz := make([]float32, 2)
	r.Pull(dz, []float32{0, 0}, []float32{0, 1}, nil)
	fmt.Println(dz)
	// Output: [-0.5 0.5]
}
