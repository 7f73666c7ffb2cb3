package scores_test

import (
	"fmt"

	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// What a score reads decides what a detector has to compute.
func ExampleMaxSoftmax_Needs() {
	fmt.Printf("%+v\n", (&scores.MaxSoftmax{}).Needs())
	fmt.Printf("%+v\n", (&scores.ReconstructionError{Norm: "l2"}).Needs())
	// Output:
	// {Q:false Rebuilt:false Hidden:false}
	// {Q:false Rebuilt:true Hidden:false}
}

// The gradient that an attacker follows who knows the guard: Q − P at the
// logits on the reconstruction, here (0.2, 0.8) − (0.8, 0.2).
func ExampleKL_ScoreGrad() {
	e := evidence()
	c := detect.Cotangents{LogP: tensor.New(2, 2), LogPT: tensor.New(2, 2), LogQ: tensor.New(2, 2)}
	(&scores.KL{}).ScoreGrad(c, e, []float64{1, 1})
	fmt.Printf("%.2f\n", c.LogQ.Row(1))
	// Output: [-0.60 0.60]
}
