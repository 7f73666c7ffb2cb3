package oracle_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// One forward pass, and the gradient of what it answered.
func ExampleOracle_Forward() {
	ctx := context.Background()
	c := &sdktest.Fake{Shape: tensor.Shape{4}, Classes: 3}
	info, err := c.Info(ctx)
	if err != nil {
		log.Fatal(err)
	}
	o, err := oracle.New(c, info, nil)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := o.Forward(ctx, tensor.New(2, 4), nil)
	if err != nil {
		log.Fatal(err)
	}
	dx, err := answer.Gradient(ctx, tensor.New(2, 3), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Output.Shape, answer.HasGradient(), dx.Shape)
	// Output: 2×3 true 2×4
}

// The prediction, and the runner-up.
func ExampleArgmaxBut() {
	p := []float64{.1, .6, .3}
	best := oracle.Argmax(p)
	fmt.Println(best, oracle.ArgmaxBut(p, best))
	// Output: 1 2
}

// A temperature above 1 makes a prediction softer.
func ExampleReading_Sharpen() {
	r := oracle.Reading{Kind: sdk.Logits, Temperature: 10}
	logp := make([]float64, 2)
	r.LogP(logp, []float32{2, 0})
	fmt.Printf("%.2f\n", logp)
	r.Sharpen(logp)
	fmt.Printf("%.2f\n", logp)
	// Output:
	// [-0.13 -2.13]
	// [-0.60 -0.80]
}
