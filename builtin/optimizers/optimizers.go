// Package optimizers are the update rules and learning-rate schedules that
// ship in the box. Rules and defaults are Keras 3's.
package optimizers

import (
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Table lists the optimisers.
func Table() registry.Table[nn.Optimizer] {
	return registry.NewTable("optimizer",
		registry.Entry[nn.Optimizer]{Name: "adam", Default: newAdam(),
			Doc: "Adam: steps scaled by moving averages of the gradient and of its square (Kingma and Ba 2015)."},
		registry.Entry[nn.Optimizer]{Name: "adamw", Default: newAdamW(),
			Doc: "Adam with decoupled weight decay (Loshchilov and Hutter 2019)."},
		registry.Entry[nn.Optimizer]{Name: "sgd", Default: SGD{LearningRate: 0.01},
			Doc: "Gradient descent, with momentum or Nesterov momentum if asked for."},
		registry.Entry[nn.Optimizer]{Name: "rmsprop", Default: newRMSprop(),
			Doc: "RMSprop: the gradient divided by a moving root of its mean square (Tieleman and Hinton 2012)."},
	)
}

// Schedules lists the learning-rate schedules.
func Schedules() registry.Table[nn.Schedule] {
	return registry.NewTable("learning-rate schedule",
		registry.Entry[nn.Schedule]{Name: "constant", Default: Constant{},
			Doc: "The optimiser's rate throughout."},
		registry.Entry[nn.Schedule]{Name: "exponential_decay", Default: ExponentialDecay{DecayRate: 0.96},
			Doc: "rate · decay_rate^(step/decay_steps), in steps of decay_steps if staircase."},
		registry.Entry[nn.Schedule]{Name: "cosine_decay", Default: CosineDecay{},
			Doc: "A half cosine from the rate to alpha times it, after an optional linear warm-up (Loshchilov and Hutter 2017)."},
		registry.Entry[nn.Schedule]{Name: "piecewise_constant_decay", Default: PiecewiseConstantDecay{},
			Doc: "values[i] up to and with step boundaries[i], the last value after."},
		registry.Entry[nn.Schedule]{Name: "polynomial_decay", Default: PolynomialDecay{EndLearningRate: 0.0001, Power: 1},
			Doc: "From the rate to end_learning_rate along a power of the remaining steps; power 1 is linear."},
		registry.Entry[nn.Schedule]{Name: "inverse_time_decay", Default: InverseTimeDecay{DecayRate: 0.5},
			Doc: "rate / (1 + decay_rate·step/decay_steps)."},
	)
}
