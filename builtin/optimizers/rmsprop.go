package optimizers

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
)

// RMSprop divides the gradient by a moving root mean square (Tieleman and
// Hinton 2012): s = ρ·s + (1−ρ)·g², p −= lr·g/√(s + epsilon). With momentum μ
// the quotient u enters v = μ·v + lr·u, and p −= v.
type RMSprop struct {
	LearningRate float64 `yaml:"learning_rate" doc:"step size" check:"> 0"`
	Rho          float64 `yaml:"rho" doc:"decay of the mean square" check:">= 0, < 1"`
	Momentum     float64 `yaml:"momentum" doc:"fraction of the previous update kept" check:">= 0, < 1"`
	Epsilon      float64 `yaml:"epsilon" doc:"added to the mean square" check:"> 0"`
}

func newRMSprop() RMSprop { return RMSprop{LearningRate: 0.001, Rho: 0.9, Epsilon: 1e-7} }

// Rate implements nn.Optimizer.
func (r RMSprop) Rate() float64 { return r.LearningRate }

// Slots implements nn.Optimizer.
func (r RMSprop) Slots() []string {
	if r.Momentum == 0 {
		return []string{"velocity"}
	}
	return []string{"velocity", "momentum", "scratch"}
}

// Update implements nn.Optimizer.
func (r RMSprop) Update(k *kernel.Engine, p, g []float32, slots [][]float32, lr float64, _ int) {
	if r.Momentum == 0 {
		k.RMSprop(p, g, slots[0], float32(lr), float32(r.Rho), float32(r.Epsilon))
		return
	}
	// The plain rule on a scratch weight of zero leaves −lr·u there.
	v, u := slots[1], slots[2]
	clear(u)
	k.RMSprop(u, g, slots[0], float32(lr), float32(r.Rho), float32(r.Epsilon))
	k.Scale(v, v, float32(r.Momentum), 0)
	k.Axpy(v, u, -1)
	k.Axpy(p, v, -1)
}

var _ nn.Optimizer = RMSprop{}
