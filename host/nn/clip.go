package nn

import (
	"math"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// ClipNorm scales each weight's gradient to an L2 norm of at most limit
// (Keras: clipnorm).
func (g *Grads) ClipNorm(k *kernel.Engine, limit float64) {
	for i, p := range g.params {
		if p.Role != Weight {
			continue
		}
		if norm := math.Sqrt(k.SumSquares(g.at(i).Data)); norm > limit {
			k.Scale(g.at(i).Data, g.at(i).Data, float32(limit/norm), 0)
		}
	}
}

// ClipGlobalNorm scales all weights' gradients together to an L2 norm of at
// most limit (Keras: global_clipnorm) and returns the norm before.
func (g *Grads) ClipGlobalNorm(k *kernel.Engine, limit float64) float64 {
	sum := 0.0
	for i, p := range g.params {
		if p.Role == Weight {
			sum += k.SumSquares(g.at(i).Data)
		}
	}
	norm := math.Sqrt(sum)
	if norm > limit {
		for i, p := range g.params {
			if p.Role == Weight {
				k.Scale(g.at(i).Data, g.at(i).Data, float32(limit/norm), 0)
			}
		}
	}
	return norm
}

// ClipValue limits each number of the weights' gradients to [−limit, limit]
// (Keras: clipvalue).
func (g *Grads) ClipValue(limit float64) {
	hi := float32(limit)
	for i, p := range g.params {
		if p.Role != Weight {
			continue
		}
		for j, v := range g.at(i).Data {
			g.at(i).Data[j] = max(-hi, min(v, hi))
		}
	}
}
