package detect

import (
	"hash/fnv"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// stream is a generator of its own for each purpose of one seed.
func stream(seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// DrawNoise draws the ε_1 … ε_S that a detector keeps, (S, latent), N(0, 1).
// No samples means one with ε = 0. Same seed, same bits.
func DrawNoise(seed uint64, samples, latent int) *tensor.Tensor {
	if samples == 0 {
		return tensor.New(1, latent)
	}
	return drawNormal(stream(seed, "noise"), samples, latent)
}

func drawNormal(r *rand.Rand, rows, cols int) *tensor.Tensor {
	t := tensor.New(rows, cols)
	for i := range t.Data {
		t.Data[i] = float32(r.NormFloat64())
	}
	return t
}
