package train_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// BenchmarkDense trains 784-400-40-400-784 at batch 128, without a classifier:
// a step with all that stands around the layers.
func BenchmarkDense(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x := tensor.New(1280, 784)
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"mse", "elbo", "bce"} {
		b.Run(name, func(b *testing.B) {
			m, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 40, Encoder: []nn.Maker{dense(400, "relu")}, Decoder: []nn.Maker{dense(400, "relu"), dense(784, "sigmoid")}}, Input: x.Example()}, 1)
			if err != nil {
				b.Fatal(err)
			}
			o := train.Options{Section: train.Section{Loss: loss(b, name), Optimizer: adam, Epochs: (b.N + 9) / 10, BatchSize: 128}, Engine: engine(b, 1), Model: m, Train: dataset.InMemory(x), Beta: 1,
				Seed: 1}
			b.ReportAllocs()
			b.ResetTimer()
			if _, err := train.Run(b.Context(), o); err != nil {
				b.Fatal(err)
			}
		})
	}
}
