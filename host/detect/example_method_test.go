package detect_test

import (
	"context"
	"fmt"
	"log"
	"math"

	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Smoothing is a method of one's own: the second opinion on an input is what
// the classifier says of the mean of its features.
type Smoothing struct{}

// Make implements detect.Method.
func (Smoothing) Make(detect.Parts) (detect.Opinion, error) { return smoothed{}, nil }

// Scores implements detect.Method.
func (Smoothing) Scores() ([]string, detect.FusionRule) { return []string{"changed"}, detect.NoFusion }

// smoothed is the method with its shapes: one other version of each input, and
// nothing to train.
type smoothed struct{}

func (smoothed) Form() detect.Form                  { return detect.Form{Rebuilt: 1} }
func (smoothed) Params() []*nn.Param                { return nil }
func (smoothed) NewPass(*kernel.Engine) detect.Pass { return smoothed{} }

// Forward writes the means.
func (smoothed) Forward(s *detect.Second, x, _ *tensor.Tensor) {
	for i := range x.N() {
		fill(s.Rebuilt.Row(i), mean(x.Row(i)), false)
	}
}

// Backward is the gradient of Forward, so that attackers can follow it.
func (smoothed) Backward(dx *tensor.Tensor, d *detect.Second, _, _ *tensor.Tensor) {
	for i := range dx.N() {
		fill(dx.Row(i), mean(d.Rebuilt.Row(i)), true)
	}
}

func mean(row []float32) float32 {
	var sum float32
	for _, v := range row {
		sum += v
	}
	return sum / float32(len(row))
}

func fill(row []float32, v float32, add bool) {
	for j := range row {
		if add {
			row[j] += v
		} else {
			row[j] = v
		}
	}
}

// Changed is how far probabilities move between the two opinions, in [0, 2].
type Changed struct{}

// Score implements detect.Score.
func (Changed) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		dst[i] = 0
		for c, logp := range e.LogP.Row(i) {
			dst[i] += math.Abs(math.Exp(float64(logp)) - math.Exp(float64(e.LogQ.Row(i)[c])))
		}
	}
}

// The classifier sees class 0 in large numbers, but is easily misled by a
// difference between the two features, which clean rows do not have. The guard
// flags the row that has one, and answers by its smoothed version.
func ExampleMethod() {
	ctx := context.Background()
	classifier := attacktest.Linear{W: [][]float32{{10, 10}, {-20, 20}}, B: []float32{-10, 0}, Lo: []float32{0}, Hi: []float32{1}}
	opinion, err := Smoothing{}.Make(detect.Parts{Input: tensor.Shape{2}})
	if err != nil {
		log.Fatal(err)
	}
	d, err := detect.New(ctx, detect.Options{
		Method: "smoothing", Opinion: opinion, Classifier: classifier,
		Scores: []detect.NamedScore{{Name: "changed", Score: Changed{}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	threshold := .5
	if _, err := d.Calibrate(ctx, nil, detect.Rule{Value: &threshold}); err != nil {
		log.Fatal(err)
	}
	r, err := d.Detect(ctx, tensor.From([]float32{.8, .8, .2, .2, .5, .9}, 3, 2), detect.Include{})
	if err != nil {
		log.Fatal(err)
	}
	for i, flagged := range r.Adversarial {
		fmt.Printf("score %.2f flagged %t, predicted %d, corrected to %d\n", r.Score[i], flagged, r.Predicted[i], r.Corrected[i])
	}
	// Output:
	// score 0.00 flagged false, predicted 0, corrected to 0
	// score 0.00 flagged false, predicted 1, corrected to 1
	// score 1.93 flagged true, predicted 1, corrected to 0
}
