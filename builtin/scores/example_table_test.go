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
