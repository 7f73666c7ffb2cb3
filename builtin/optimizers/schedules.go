package optimizers

import (
	"errors"
	"math"

	"github.com/vaeguard/vaeguard/host/nn"
)

// Constant keeps the optimiser's rate.
type Constant struct{}

// At implements nn.Schedule.
func (Constant) At(base float64, _, _ int) float64 { return base }

// ExponentialDecay is rate·DecayRate^(step/DecaySteps).
type ExponentialDecay struct {
	InitialLearningRate float64 `yaml:"initial_learning_rate" doc:"rate at the start; 0: the optimiser's" check:">= 0"`
	DecaySteps          int     `yaml:"decay_steps" doc:"steps for one decay_rate; 0: the whole training" check:">= 0"`
	DecayRate           float64 `yaml:"decay_rate" doc:"factor per decay_steps" check:"> 0"`
	Staircase           bool    `yaml:"staircase" doc:"decay at whole multiples of decay_steps"`
}

// At implements nn.Schedule.
func (s ExponentialDecay) At(base float64, step, total int) float64 {
	t := float64(step) / float64(span(s.DecaySteps, total))
	if s.Staircase {
		t = math.Floor(t)
	}
	return start(s.InitialLearningRate, base) * math.Pow(s.DecayRate, t)
}

// CosineDecay falls along half a cosine to Alpha times the rate, after
// WarmupSteps that climb linearly to WarmupTarget.
type CosineDecay struct {
	InitialLearningRate float64 `yaml:"initial_learning_rate" doc:"rate at the start; 0: the optimiser's, or 0 with a warm-up" check:">= 0"`
	DecaySteps          int     `yaml:"decay_steps" doc:"steps of the decay; 0: the whole training" check:">= 0"`
	Alpha               float64 `yaml:"alpha" doc:"fraction of the rate left at the end" check:">= 0, <= 1"`
	WarmupTarget        float64 `yaml:"warmup_target" doc:"rate after the warm-up; 0: the optimiser's" check:">= 0"`
	WarmupSteps         int     `yaml:"warmup_steps" doc:"steps of linear increase" check:">= 0"`
}

// At implements nn.Schedule.
func (s CosineDecay) At(base float64, step, total int) float64 {
	top := start(s.InitialLearningRate, base)
	if s.WarmupSteps > 0 {
		low := s.InitialLearningRate
		top = start(s.WarmupTarget, base)
		if step < s.WarmupSteps {
			return low + (top-low)*float64(step)/float64(s.WarmupSteps)
		}
	}
	t := min(float64(step-s.WarmupSteps)/float64(span(s.DecaySteps, total-s.WarmupSteps)), 1)
	cosine := 0.5 * (1 + math.Cos(math.Pi*t))
	return top * (float64((1-s.Alpha)*cosine) + s.Alpha)
}

// PiecewiseConstantDecay is Values[i] for steps up to and with Boundaries[i].
type PiecewiseConstantDecay struct {
	Boundaries []int     `yaml:"boundaries" doc:"rising steps at which the rate changes" required:"true"`
	Values     []float64 `yaml:"values" doc:"rates, one more than boundaries" required:"true"`
}

// Example implements registry.Exampler.
func (PiecewiseConstantDecay) Example() string {
	return "{boundaries: [1000, 2000], values: [0.001, 0.0003, 0.0001]}"
}

// Validate implements registry.Validator.
func (s PiecewiseConstantDecay) Validate() error {
	if len(s.Values) != len(s.Boundaries)+1 {
		return errors.New("values: want one more than boundaries")
	}
	for i, b := range s.Boundaries {
		if b < 0 || i > 0 && b <= s.Boundaries[i-1] {
			return errors.New("boundaries: want rising steps, at least 0")
		}
	}
	for _, v := range s.Values {
		if !(v >= 0) {
			return errors.New("values: want rates of at least 0")
		}
	}
	return nil
}

// At implements nn.Schedule.
func (s PiecewiseConstantDecay) At(base float64, step, _ int) float64 {
	if len(s.Values) == 0 {
		return base
	}
	for i, b := range s.Boundaries {
		if step <= b {
			return s.Values[i]
		}
	}
	return s.Values[len(s.Boundaries)]
}

// PolynomialDecay goes from the rate to EndLearningRate within DecaySteps:
// (rate − end)·(1 − step/DecaySteps)^Power + end.
type PolynomialDecay struct {
	InitialLearningRate float64 `yaml:"initial_learning_rate" doc:"rate at the start; 0: the optimiser's" check:">= 0"`
	DecaySteps          int     `yaml:"decay_steps" doc:"steps of the decay; 0: the whole training" check:">= 0"`
	EndLearningRate     float64 `yaml:"end_learning_rate" doc:"rate at the end" check:">= 0"`
	Power               float64 `yaml:"power" doc:"exponent; 1 is linear" check:"> 0"`
	Cycle               bool    `yaml:"cycle" doc:"restart with two, three, … times the steps"`
}

// At implements nn.Schedule.
func (s PolynomialDecay) At(base float64, step, total int) float64 {
	n, t := float64(span(s.DecaySteps, total)), float64(step)
	if s.Cycle {
		n *= max(math.Ceil(t/n), 1)
	}
	t = min(t, n)
	first := start(s.InitialLearningRate, base)
	return float64((first-s.EndLearningRate)*math.Pow(1-t/n, s.Power)) + s.EndLearningRate
}

// InverseTimeDecay is rate/(1 + DecayRate·step/DecaySteps).
type InverseTimeDecay struct {
	InitialLearningRate float64 `yaml:"initial_learning_rate" doc:"rate at the start; 0: the optimiser's" check:">= 0"`
	DecaySteps          int     `yaml:"decay_steps" doc:"steps for one decay_rate; 0: the whole training" check:">= 0"`
	DecayRate           float64 `yaml:"decay_rate" doc:"strength of the decay" check:"> 0"`
	Staircase           bool    `yaml:"staircase" doc:"decay at whole multiples of decay_steps"`
}

// At implements nn.Schedule.
func (s InverseTimeDecay) At(base float64, step, total int) float64 {
	t := float64(step) / float64(span(s.DecaySteps, total))
	if s.Staircase {
		t = math.Floor(t)
	}
	return start(s.InitialLearningRate, base) / (1 + float64(s.DecayRate*t))
}

func start(own, base float64) float64 {
	if own > 0 {
		return own
	}
	return base
}

func span(own, total int) int {
	if own > 0 {
		return own
	}
	return max(total, 1)
}

var (
	_ nn.Schedule = Constant{}
	_ nn.Schedule = ExponentialDecay{}
	_ nn.Schedule = CosineDecay{}
	_ nn.Schedule = PiecewiseConstantDecay{}
	_ nn.Schedule = PolynomialDecay{}
	_ nn.Schedule = InverseTimeDecay{}
)
