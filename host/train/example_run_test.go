package train_test

import (
	"context"
	"fmt"
	"log"
	"math"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Absolute is a loss of one's own: the mean of |x − x'| over rows and features.
type Absolute struct{}

// Make implements train.Loss: nothing is fitted on the training rows.
func (Absolute) Make(train.Setup) (train.Objective, error) { return Absolute{}, nil }

// UsesClassifier implements train.Objective.
func (Absolute) UsesClassifier() bool { return false }

// Loss implements train.Objective, with its gradient where there is room for it.
func (Absolute) Loss(s *train.Step) float64 {
	loss, features := 0.0, s.UnitX.Stride()
	for i := range s.N() {
		weight := s.Weight(i) / float64(features)
		for j, x := range s.UnitX.Row(i) {
			d := float64(s.UnitRebuilt.Row(i)[j] - x)
			loss += weight * math.Abs(d)
			if s.DUnitRebuilt != nil && d != 0 {
				s.DUnitRebuilt.Row(i)[j] += float32(math.Copysign(weight, d))
			}
		}
	}
	return loss
}

// Worst is a metric of one's own: the largest error of a row's features.
type Worst struct{}

// UsesClassifier implements train.Metric.
func (Worst) UsesClassifier() bool { return false }

// Rows implements train.Metric.
func (Worst) Rows(dst []float64, s *train.Step, _ train.Setup) {
	for i := range dst {
		dst[i] = 0
		for j, x := range s.X.Row(i) {
			dst[i] = max(dst[i], math.Abs(float64(s.Rebuilt.Row(i)[j]-x)))
		}
	}
}

// An auto-encoder learns rows that lie on a line, by a loss and a metric of
// one's own.
func ExampleRun() {
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		log.Fatal(err)
	}
	m, err := vae.Build(vae.Options{Input: tensor.Shape{3}, Coding: vae.Plain, Section: vae.Section{
		LatentDim: 1, Encoder: []nn.Maker{layers.NewDense(1)}, Decoder: []nn.Maker{layers.NewDense(3)},
	}}, 1)
	if err != nil {
		log.Fatal(err)
	}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	x := tensor.New(256, 3)
	for i := range x.N() {
		v := float32(i) / 256
		copy(x.Row(i), []float32{v, 1 - v, v / 2})
	}
	r, err := train.Run(context.Background(), train.Options{
		Section: train.Section{Loss: Absolute{}, Optimizer: adam, Epochs: 40, BatchSize: 8},
		Engine:  k, Model: m, Train: dataset.InMemory(x), Seed: 1,
		Metrics: []train.NamedMetric{{Name: "worst", Metric: Worst{}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	first, last := r.History[0], r.History[len(r.History)-1]
	for _, name := range []string{"loss", "worst"} {
		a, _ := first.Get(name)
		b, _ := last.Get(name)
		fmt.Printf("%s fell to less than half: %t\n", name, b < a/2)
	}
	// Output:
	// loss fell to less than half: true
	// worst fell to less than half: true
}
