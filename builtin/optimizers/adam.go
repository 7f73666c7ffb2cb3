package optimizers

import (
	"math"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
)

// Adam of Kingma and Ba 2015, arXiv:1412.6980, as Keras writes it: epsilon
// outside the root and the bias corrections in the rate.
type Adam struct {
	LearningRate float64 `yaml:"learning_rate" doc:"step size" check:"> 0"`
	Beta1        float64 `yaml:"beta_1" doc:"decay of the mean gradient" check:">= 0, < 1"`
	Beta2        float64 `yaml:"beta_2" doc:"decay of the mean square" check:">= 0, < 1"`
	Epsilon      float64 `yaml:"epsilon" doc:"added to the root of the mean square" check:"> 0"`
}

func newAdam() Adam { return Adam{LearningRate: 0.001, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-7} }

// Rate implements nn.Optimizer.
func (a Adam) Rate() float64 { return a.LearningRate }

// Slots implements nn.Optimizer: the moving averages of gradient and square.
func (a Adam) Slots() []string { return []string{"m", "v"} }

// Update implements nn.Optimizer.
func (a Adam) Update(k *kernel.Engine, p, g []float32, slots [][]float32, lr float64, step int) {
	k.Adam(p, g, slots[0], slots[1], a.step(lr, step))
}

func (a Adam) step(lr float64, step int) kernel.AdamStep {
	t := float64(step)
	rate := lr * math.Sqrt(1-math.Pow(a.Beta2, t)) / (1 - math.Pow(a.Beta1, t))
	return kernel.AdamStep{
		Beta1: float32(a.Beta1), Beta2: float32(a.Beta2), Eps: float32(a.Epsilon), Rate: float32(rate),
	}
}

// AdamW is Adam with decoupled weight decay, arXiv:1711.05101: each weight
// first loses learning_rate·weight_decay of itself.
type AdamW struct {
	Adam
	WeightDecay float64 `yaml:"weight_decay" doc:"fraction of a weight lost per step, times the rate" check:">= 0"`
}

func newAdamW() AdamW { return AdamW{Adam: newAdam(), WeightDecay: 0.004} }

// Update implements nn.Optimizer.
func (a AdamW) Update(k *kernel.Engine, p, g []float32, slots [][]float32, lr float64, step int) {
	s := a.step(lr, step)
	s.Decay = float32(lr * a.WeightDecay)
	k.Adam(p, g, slots[0], slots[1], s)
}

var (
	_ nn.Optimizer = Adam{}
	_ nn.Optimizer = AdamW{}
)
