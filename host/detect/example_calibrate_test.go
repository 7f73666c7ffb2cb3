package detect_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Unsure is a score of one's own: 1 − max P, of an input alone.
type Unsure struct{}

// Score implements detect.Score.
func (Unsure) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		best := math.Inf(-1)
		for _, logp := range e.LogP.Row(i) {
			best = max(best, float64(logp))
		}
		dst[i] = 1 - math.Exp(best)
	}
}

// Needs implements detect.Requirer: no second opinion.
func (Unsure) Needs() detect.Needs { return detect.Needs{} }

// uniform are n random rows of four features in [0, 1].
func uniform(n int, seed uint64) *tensor.Tensor {
	r, x := rand.New(rand.NewPCG(seed, 1)), tensor.New(n, 4)
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	return x
}

// newDetector scores a classifier's inputs by how unsure it is of them.
func newDetector() *detect.Detector {
	d, err := detect.New(context.Background(), detect.Options{
		Classifier: &sdktest.Fake{Shape: tensor.Shape{4}, Classes: 3},
		Scores:     []detect.NamedScore{{Name: "unsure", Score: Unsure{}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return d
}

// A threshold with a known false-alarm rate, from clean rows that were used for
// nothing else. Of new rows of the same kind about as many are flagged.
func ExampleDetector_Calibrate() {
	ctx, rate := context.Background(), .1
	d := newDetector()
	defer d.Close()
	t, err := d.Calibrate(ctx, uniform(499, 1), detect.Rule{FPR: &rate})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("score %d of %d, ascending\n", t.Rank, t.N)
	r, err := d.Detect(ctx, uniform(1000, 2), detect.Include{})
	if err != nil {
		log.Fatal(err)
	}
	flagged := 0
	for _, f := range r.Adversarial {
		if f {
			flagged++
		}
	}
	fmt.Println("of 1000 new rows between 50 and 150 are flagged:", 50 <= flagged && flagged <= 150)
	// Output:
	// score 450 of 499, ascending
	// of 1000 new rows between 50 and 150 are flagged: true
}
