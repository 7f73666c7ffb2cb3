package scores_test

import (
	"fmt"
	"log"
	"math"

	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// logs are the logarithms of rows of two probabilities.
func logs(p ...float64) *tensor.Tensor {
	t := tensor.New(len(p)/2, 2)
	for i, v := range p {
		t.Data[i] = float32(math.Log(v))
	}
	return t
}

// evidence are two inputs: of the first the classifier says the same for its
// reconstruction, of the second the opposite.
func evidence() detect.Evidence {
	p, q := logs(.8, .2, .8, .2), logs(.8, .2, .2, .8)
	return detect.Evidence{
		Samples: 1, LogP: p, LogPT: p, ZP: p, LogQ: q, ZQ: q,
		X: tensor.From([]float32{1, 2}, 2, 1), Rebuilt: tensor.From([]float32{1, 2.5}, 2, 1),
	}
}

// The shipped scores on an input that reconstructs well, and on one that does
// not.
func ExampleTable() {
	for _, name := range []string{"kl", "prediction_l1", "margin", "reconstruction_error", "max_softmax"} {
		s, err := scores.Table().Lookup(name)
		if err != nil {
			log.Fatal(err)
		}
		dst := make([]float64, 2)
		s.Score(dst, evidence())
		fmt.Printf("%-20s %5.2f %5.2f\n", name, dst[0], dst[1])
	}
	// Output:
	// kl                    0.00  0.83
	// prediction_l1         0.00  1.20
	// margin               -1.39  1.39
	// reconstruction_error  0.00  0.25
	// max_softmax           0.20  0.20
}

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
