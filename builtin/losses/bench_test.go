package losses

import (
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// BenchmarkCovariance fits and uses a full covariance of 784 features.
func BenchmarkCovariance(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x := random(r, 0, 1, 2000, 784)
	b.Run("fit 2000 rows", func(b *testing.B) {
		for b.Loop() {
			if _, err := (Covariance{covFull, .1}).fit(train.Setup{X: dataset.InMemory(x)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	g, err := (Covariance{covFull, .1}).fit(train.Setup{X: dataset.InMemory(x)})
	if err != nil {
		b.Fatal(err)
	}
	s := &train.Step{UnitX: x.Rows(0, 64), UnitRebuilt: x.Rows(64, 128), DUnitRebuilt: tensor.New(64, 784)}
	s.X = s.UnitX
	b.Run("batch of 64", func(b *testing.B) {
		for b.Loop() {
			g.loss(s, 1)
		}
	})
}
