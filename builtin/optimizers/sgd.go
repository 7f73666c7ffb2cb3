package optimizers

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
)

// SGD is gradient descent: p −= lr·g, or with momentum μ v = μ·v − lr·g and
// p += v; Nesterov's form is p += μ·v − lr·g.
type SGD struct {
	LearningRate float64 `yaml:"learning_rate" doc:"step size" check:"> 0"`
	Momentum     float64 `yaml:"momentum" doc:"fraction of the previous update kept" check:">= 0, < 1"`
	Nesterov     bool    `yaml:"nesterov" doc:"look ahead along the momentum"`
}

// Rate implements nn.Optimizer.
func (s SGD) Rate() float64 { return s.LearningRate }

// Slots implements nn.Optimizer: the velocity, if there is momentum.
func (s SGD) Slots() []string {
	if s.Momentum == 0 {
		return nil
	}
	return []string{"momentum"}
}

// Update implements nn.Optimizer.
func (s SGD) Update(k *kernel.Engine, p, g []float32, slots [][]float32, lr float64, _ int) {
	var v []float32
	if s.Momentum != 0 {
		v = slots[0]
	}
	k.SGD(p, g, v, float32(lr), float32(s.Momentum), s.Nesterov && s.Momentum != 0)
}

var _ nn.Optimizer = SGD{}
