package methods_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/vaeguard/vaeguard/builtin/methods"
	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The scores that each method starts from.
func ExampleTable() {
	for _, e := range methods.Table().Entries() {
		names, fusion := e.Default.Scores()
		if fusion != detect.NoFusion {
			names = append(names, "fused by "+string(fusion))
		}
		fmt.Printf("%s: %s\n", e.Name, strings.Join(names, ", "))
	}
	// Output:
	// vae: kl
	// ae: kl
	// smoothed: votes
	// distillation: kl
	// max_softmax: max_softmax
	// feature_squeezing: squeeze_l1
	// magnet: reconstruction_error, js_10, js_40, fused by tippett
}

// A guard without a network: feature squeezing around a linear classifier. The
// third row hangs on less than the bits that are kept.
func ExampleFeatureSqueezing() {
	ctx := context.Background()
	classifier := attacktest.Linear{W: [][]float32{{100}, {-100}}, B: []float32{-52, 52}, Lo: []float32{0}, Hi: []float32{1}}
	info, err := classifier.Info(ctx)
	if err != nil {
		log.Fatal(err)
	}
	opinion, err := methods.FeatureSqueezing{BitDepth: 1}.Make(detect.Parts{Input: info.InputShape, Classes: 2, Info: &info})
	if err != nil {
		log.Fatal(err)
	}
	d, err := detect.New(ctx, detect.Options{
		Method: "feature_squeezing", Opinion: opinion, Classifier: classifier,
		Scores: []detect.NamedScore{{Name: "prediction_l1", Score: &scores.PredictionL1{Reduce: "max"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	threshold := 1.
	if _, err := d.Calibrate(ctx, nil, detect.Rule{Value: &threshold}); err != nil {
		log.Fatal(err)
	}
	r, err := d.Detect(ctx, tensor.From([]float32{.9, .45, .51}, 3, 1), detect.Include{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Predicted, r.Adversarial, r.Corrected)
	// Output: [0 1 1] [false false true] [0 1 0]
}

// A squeezer on its own: two bits, and the median of a window.
func ExampleBitDepth() {
	x := []float32{0, .1, .4, .6, .9}
	y := make([]float32, len(x))
	methods.BitDepth{Bits: 2, Lo: 0, Hi: 1}.Squeeze(y, x, tensor.Shape{len(x)})
	fmt.Printf("%.2f\n", y)
	// Output: [0.00 0.00 0.33 0.67 1.00]
}

// The median takes a single bright pixel away.
func ExampleMedian() {
	x := []float32{0, 0, 0, 0, 1, 0, 0, 0, 0}
	y := make([]float32, len(x))
	methods.Median{Size: 3}.Squeeze(y, x, tensor.Shape{3, 3, 1})
	fmt.Println(y)
	// Output: [0 0 0 0 0 0 0 0 0]
}
