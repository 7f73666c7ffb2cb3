package host_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/methods"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Sides is a classifier of this very program: which of two points a row of two
// features is nearer to.
type Sides struct{}

// Info implements sdk.Classifier.
func (Sides) Info(context.Context) (sdk.Info, error) {
	return sdk.Info{Name: "sides", Version: "1.0.0", InputShape: tensor.Shape{2}, Layout: sdk.Flat, NumClasses: 2, Output: sdk.Logits,
		Gradient: sdk.ExactGradient, Lo: []float32{0}, Hi: []float32{1}, Ready: true}, nil
}

// Predict implements sdk.Classifier: the logits are ±20·(x₀ − x₁).
func (Sides) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y := tensor.New(x.N(), 2)
	for i := range x.N() {
		d := 20 * (x.Row(i)[0] - x.Row(i)[1])
		copy(y.Row(i), []float32{d, -d})
	}
	return y, nil
}

// Gradient implements sdk.Differentiable.
func (Sides) Gradient(_ context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx := tensor.New(x.N(), 2)
	for i := range x.N() {
		d := 20 * (dy.Row(i)[0] - dy.Row(i)[1])
		copy(dx.Row(i), []float32{d, -d})
	}
	return dx, nil
}

// Distance is a loss of this very program: the mean over rows of |x − x'|².
type Distance struct{}

// Make implements train.Loss: nothing is fitted on the training rows.
func (Distance) Make(train.Setup) (train.Objective, error) { return Distance{}, nil }

// UsesClassifier implements train.Objective.
func (Distance) UsesClassifier() bool { return false }

// Loss implements train.Objective, with its gradient where there is room for it.
func (Distance) Loss(s *train.Step) float64 {
	loss := 0.0
	for i := range s.N() {
		for j, x := range s.UnitX.Row(i) {
			d := float64(s.UnitRebuilt.Row(i)[j] - x)
			loss += s.Weight(i) * d * d
			if s.DUnitRebuilt != nil {
				s.DUnitRebuilt.Row(i)[j] += float32(2 * s.Weight(i) * d)
			}
		}
	}
	return loss
}

// arc are n rows on a quarter of a circle, from a point of it on.
func arc(n int, from float64) *tensor.Tensor {
	x := tensor.New(n, 2)
	for i := range n {
		a := math.Pi / 2 * math.Mod(from+float64(i)*0.618, 1)
		copy(x.Row(i), []float32{float32(math.Cos(a)), float32(math.Sin(a))})
	}
	return x
}

// Without a file: build a guard around a model of this program, train it with a loss
// of this program, infer the threshold, judge rows, save, and open what was saved.
func ExampleCompose() {
	ctx, components := context.Background(), builtin.Components()
	hidden := layers.NewDense(16)
	hidden.Activation = nn.Activation{Name: "relu"}
	e, err := host.Compose(host.Parts{
		Name: "sides", Seed: 1,
		VAE:    &vae.Section{LatentDim: 1, Encoder: []nn.Maker{hidden}, Decoder: []nn.Maker{hidden, layers.NewDense(2)}},
		Method: methods.VAE{Samples: 5},
		Train:  train.Section{Loss: Distance{}, Epochs: 60, BatchSize: 16},
	}, components, host.Options{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := e.Fit(ctx, Sides{}, arc(512, 0), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	if _, err := d.InferThreshold(ctx, arc(200, .3), 95); err != nil {
		log.Fatal(err)
	}
	// Two rows on the arc, and one away from it.
	rows := tensor.From([]float32{1, 0, 0, 1, .1, .2}, 3, 2)
	r, err := d.Detect(ctx, rows)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Adversarial, r.Predicted)

	folder, err := os.MkdirTemp("", "guard")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	dir := filepath.Join(folder, "sides")
	if err := d.Save(ctx, dir); err != nil {
		log.Fatal(err)
	}
	again, err := host.Open(dir, components, host.OpenOptions{Model: Sides{}})
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	fmt.Println("of", again.Saved.Meta.Classifier.Lent, "by", again.Saved.Meta.Training.Loss)
	same, err := again.Detect(ctx, rows)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same score:", same.Score[2] == r.Score[2])
	// Output:
	// [false false true] [0 1 1]
	// of Go host_test.Sides by Go host_test.Distance
	// the same score: true
}

// A guard of parts is a spec as any other: what a file would say.
func ExampleCompose_resolved() {
	e, err := host.Compose(host.Parts{Name: "by-shape", Train: train.Section{Epochs: 3}}, builtin.Components(), host.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Spec.Train.Epochs, "epochs of", e.Spec.Train.BatchSize, "rows a step")
	_, err = host.Compose(host.Parts{Train: train.Section{Epochs: -1}}, builtin.Components(), host.Options{})
	fmt.Println(err)
	// Output:
	// 3 epochs of 64 rows a step
	// train.epochs: must be >= 1, got -1
}
